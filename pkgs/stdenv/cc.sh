# shellcheck shell=sh
# Starts the compiler $seed with the C library $libc and the kernel's headers $headers; see cc.nix.

: "${seed:?}" "${libc?}" "${headers?}"

if [ -n "$libc" ]; then
    set -- -specs "$libc/lib/musl-gcc.specs" "$@"
fi
if [ -n "$headers" ]; then
    set -- "$@" -idirafter "$headers/include"
fi
# shellcheck disable=SC2086 # lists of flags
exec "$seed" "$@" ${NIX_CFLAGS_COMPILE-} ${NIX_CFLAGS_LINK-}
