# The nftables backend of portmap, as far as cases look at it; the rest is the real plugin's.
set -f
config=$(cat)
value() { printf %s "$config" | jq -r "$@"; }
refuse() { jq -n --arg msg "$1" '{code: 999, msg: $msg}'; exit 1; }
real() { printf %s "$config" | jq -c 'del(.conditionsV4, .conditionsV6)' | CNI_COMMAND=$1 "$REAL"; }

# Conditions of the other syntax.
strange=$(value '[("conditionsV4", "conditionsV6") as $key | select((.[$key] // [""])[0]
    | . != "" and test("^[-!]") == ($backend == "nftables")) | $key] | join(" ")' --arg backend "$(value '.backend // ""')")
backend=$(value '.backend // ""')
[ "$backend$(command -v iptables)" ] || backend=nftables
case $backend in
nftables) [ "$(value .externalSetMarkChain)" = null ] || strange="externalSetMarkChain $strange"
    [ -z "$strange" ] || refuse "nftables backend was requested but configuration contains iptables-specific options [$strange]" ;;
iptables | '') [ -z "$strange" ] || refuse "iptables backend was requested but configuration contains nftables-specific options [$strange]"
    printf %s "$config" | "$REAL"
    exit ;;
*) refuse "unrecognized backend \"$backend\"" ;;
esac

id=$(printf %.128s "$CNI_CONTAINERID")
count=$(value '.runtimeConfig.portMappings // [] | length')

# The pod's address of a family.
address() {
    value --argjson six "$1" '.prevResult as $r | [($r.ips // [])[] | select(.interface == null
        or $r.interfaces[.interface] == null or ($r.interfaces[.interface]
        | .name == env.CNI_IFNAME and (.sandbox // "") != "")) | .address]
        + [$r.ip4.ip, $r.ip6.ip | values] | map(select(contains(":") == $six))
        | (first // "") | split("/") | first // ""'
}

# The rules of a container in a family: nft's table family, address, address with a port behind.
rules() {
    value --arg f "$1" --arg to "$3" --arg id "$id" '.runtimeConfig.portMappings[]
        | (.hostIP // "") as $on | select($on == "" or ($on | contains(":")) == ($f == "ip6"))
        | (if ["", "0.0.0.0", "::"] | index([$on]) then "" else "\($f) daddr \($on) " end) as $daddr
        | "add rule \($f) cni_hostport hostports \($daddr)\(.protocol // "") dport \(.hostPort) dnat to \($to):\(.containerPort) comment \"\($id)\""'
    [ "$(value .snat)" = false ] && return
    echo "add chain $1 cni_hostport masquerading { type nat hook postrouting priority 100; }"
    from="$2 127.0.0.1"
    [ "$1" = ip ] || from=$2
    [ "$(value .masqAll)" = true ] && from=$([ "$1" = ip ] && echo 0.0.0.0/0 || echo ::/0)
    for source in $from; do
        echo "add rule $1 cni_hostport masquerading $1 saddr $source $1 daddr $2 masquerade comment \"$id\""
    done
}

# The chains that every container shares, and the rules of this one.
transaction() {
    t="$1 cni_hostport"
    echo "add table $t { comment \"CNI portmap plugin\"; }"
    for chain in hostports hostip_hostports hostports_all; do echo "add chain $t $chain"; done
    echo "flush chain $t hostports_all"
    echo "add rule $t hostports_all jump hostip_hostports"
    echo "add rule $t hostports_all jump hostports"
    for hook in prerouting output; do
        echo "add chain $t $hook { type nat hook $hook priority -100; }"
        echo "flush chain $t $hook"
        echo "add rule $t $hook $4 fib daddr type local jump hostports_all"
    done
    rules "$1" "$2" "$3"
}

add() {
    [ "$(value .prevResult)" != null ] || refuse "must be called as chained plugin"
    if [ "$count" != 0 ]; then
        four=$(address false) six=$(address true)
        all=$([ -z "$four" ] || transaction ip "$four" "$four" "$(value '.conditionsV4 // [] | join(" ")')"
            [ -z "$six" ] || transaction ip6 "$six" "[$six]" "$(value '.conditionsV6 // [] | join(" ")')")
        said=$(printf '%s\n' "$all" | nft -f - 2>&1) || refuse "unable to set up nftables rules for port mappings: $said"
        if [ "$(value .snat)" != false ] && dev=$(ip -j route get "${four:-none}" 2>&1 | jq -r '.[0].dev'); then
            echo 1 >"/proc/sys/net/ipv4/conf/$dev/route_localnet"
        fi
        # It forgets UDP connections; its rules are not wanted.
        case $(value '.runtimeConfig.portMappings[].protocol') in *udp*) real ADD >&2; real DEL >&2 ;; esac
    fi
    value .prevResult
}

listed() { nft -a list chain "$1" cni_hostport "$2" | grep -F "comment \"$id\""; }

del() {
    [ "$count" != 0 ] || return 0
    for family in ip ip6; do
        for chain in hostports hostip_hostports masquerading; do
            for handle in $(listed $family $chain 2>/dev/null | sed 's/.*# handle //'); do
                nft delete rule $family cni_hostport $chain handle "$handle"
            done
        done
    done
}

check() {
    [ "$(value .prevResult)" != null ] || refuse "Required prevResult missing"
    [ "$count" != 0 ] || return 0
    for family in ip ip6; do
        to=$(address "$([ $family = ip6 ] && echo true || echo false)")
        [ -n "$to" ] || continue
        for chain in hostports masquerading; do
            wanted=$(rules $family "$to" "$to" | grep -c "^add rule .* $chain ")
            [ "$(listed $family $chain 2>/dev/null | wc -l)" -ge "$wanted" ] || refuse "missing hostport rules in \"$chain\" chain"
        done
    done
}

case $CNI_COMMAND in
ADD) add ;;
DEL) del ;;
CHECK) check ;;
esac
