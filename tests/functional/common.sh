# shellcheck shell=bash
# Stands in for the `common.sh` of Nix's functional tests, so that its scripts run through picnix.
#
# TEST_ROOT (a folder of the script alone) and BIN (links to picnix under Nix's names) are given. The scripts look at
# store paths as if the store were installed; picnix keeps its store in a folder, so a link leads there. Builders are
# the machine's own bash and its tools, which a setting shows in the box.

set -eu -o pipefail

: "${TEST_ROOT?}" "${BIN?}" "${FUNCTIONAL?}"

# shellcheck disable=SC1091
source "$FUNCTIONAL/common/functions.sh"

export PATH="$BIN:$PATH" SHELL=/bin/bash PAGER=cat
export system version=2.34.8 coreutils=/usr/bin dot='' busybox=''
system=$(uname -m)-linux
export TEST_HOME="$TEST_ROOT/test-home" HOME="$TEST_ROOT/test-home"
export NIX_STORE_DIR="$TEST_ROOT/store" PICNIX_STORE="$TEST_ROOT/root"
export NIX_STATE_DIR="$PICNIX_STORE/nix/var/picnix"
export NIX_LOCALSTATE_DIR="$PICNIX_STORE/nix/var" NIX_LOG_DIR="$NIX_STATE_DIR/log"
export NIX_CONF_DIR="$TEST_ROOT/etc" NIX_REMOTE=''
export _NIX_TEST_SOURCE_DIR="$FUNCTIONAL" _NIX_TEST_BUILD_DIR="$FUNCTIONAL"
export _NIX_TEST_SHARED="$TEST_ROOT/share/d" _NIX_IN_TEST="$TEST_ROOT/share/d"
export IMPURE_VAR1=foo IMPURE_VAR2=bar
export PICNIX_CONFIG="substituters =
keep-derivations = false
sandbox-paths = /bin /usr /lib /lib64? $TEST_ROOT/share $TEST_ROOT/test1.fifo?"
test_nix_conf_dir=$TEST_HOME/.config/picnix
test_nix_conf=$test_nix_conf_dir/picnix.conf
export test_nix_conf
export cacheDir="$TEST_ROOT/binary-cache" config_nix="$FUNCTIONAL/config.nix"
_canUseSandbox=1
export _canUseSandbox
unset NIX_PATH XDG_STATE_HOME XDG_DATA_HOME XDG_CONFIG_HOME XDG_CONFIG_DIRS XDG_CACHE_HOME

# Nothing that lies in the store is needed for anything else.
doClearStore() {
  echo 'clearing store...'
  [ ! -e "$PICNIX_STORE" ] || { chmod -R u+w "$PICNIX_STORE" && rm -rf "$PICNIX_STORE"; }
  nix-store --init
}

# Who may use the store is a matter of its folder, not of a daemon: what a script expects of one must hold without.
startDaemon() { :; }

# The store directory is a link to the folder that a script may want to see empty; the links of equal files are
# elsewhere.
rmdir() {
  local folder
  for folder; do
    if [ "$folder" = "$NIX_STORE_DIR/.links" ]; then
      [ ! -e "$folder" ]
    elif [ -L "$folder" ]; then
      command rmdir "$(readlink -f "$folder")" && rm "$folder"
    else
      command rmdir "$folder"
    fi
  done
}

nix-collect-garbage() { nix-store --gc "$@"; }
export -f nix-collect-garbage

mkdir -p "$TEST_HOME" "$test_nix_conf_dir" "$NIX_CONF_DIR" "$TEST_ROOT/share" "$PICNIX_STORE"
# Builders of a process of root are another user.
chmod 777 "$TEST_ROOT/share"
echo 'experimental-features = nix-command flakes' >"$test_nix_conf"
ln -sfn "$PICNIX_STORE$NIX_STORE_DIR" "$NIX_STORE_DIR"
nix-store --init

set -x
