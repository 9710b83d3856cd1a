# shellcheck shell=sh
# Applies what udhcpc learned: called with the event as $1 and the lease in the environment.
set -eu

# shellcheck disable=SC2154 # udhcpc sets these
case $1 in
    deconfig)
        ip -4 address flush dev "$interface"
        ip link set dev "$interface" up
        ;;
    bound | renew)
        ip -4 address flush dev "$interface"
        ip address add "$ip/$mask" dev "$interface"
        for gateway in ${router-}; do
            ip route replace default via "$gateway" dev "$interface"
            break
        done
        # /etc/resolv.conf points there: /etc may be a file system that cannot be changed.
        : >/run/resolv.conf.new
        [ -z "${domain-}" ] || echo "search $domain" >>/run/resolv.conf.new
        for server in ${dns-}; do
            echo "nameserver $server" >>/run/resolv.conf.new
        done
        mv /run/resolv.conf.new /run/resolv.conf
        ;;
esac
