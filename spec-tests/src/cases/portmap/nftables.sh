# The nftables backend of portmap, as far as cases look at it; the rest is the real plugin's.
set -f
config=$(cat)
id=$(printf %.128s "$CNI_CONTAINERID")
refuse() { jq -n --arg msg "$1" '{code: 999, msg: $msg}'; exit 1; }

# jq is asked once for everything: it takes longer to start than all else here together.
eval "$(printf %s "$config" | jq -r --arg id "$id" '
    def or_nothing(f): try f catch "";
    (.backend // "") as $backend | .prevResult as $result | (.runtimeConfig.portMappings // []) as $mappings |

    # The address of the pod in a family.
    def address($six): or_nothing([($result.ips // [])[] | select(.interface == null
        or $result.interfaces[.interface] == null or ($result.interfaces[.interface]
        | .name == env.CNI_IFNAME and (.sandbox // "") != "")) | .address]
        + [$result.ip4.ip, $result.ip6.ip | values] | map(select(contains(":") == $six))
        | (first // "") | split("/") | first // "");

    # The rules of the mappings in a family: table family of nft, address with a port behind.
    def rules($f; $to): or_nothing([$mappings[]
        | (.hostIP // "") as $on | select($on == "" or ($on | contains(":")) == ($f == "ip6"))
        | (if ["", "0.0.0.0", "::"] | index([$on]) then "" else "\($f) daddr \($on) " end) as $daddr
        | "add rule \($f) cni_hostport hostports \($daddr)\(.protocol // "") dport \(.hostPort) dnat to \($to):\(.containerPort) comment \"\($id)\""]
        | join("\n"));

    # Conditions of the other syntax.
    def strange: or_nothing([("conditionsV4", "conditionsV6") as $key | select((.[$key] // [""])[0]
        | . != "" and test("^[-!]") == ($backend == "nftables")) | $key] | join(" "));
    def conditions($key): or_nothing(.[$key] // [] | join(" "));

    address(false) as $four | address(true) as $six
    | @sh "backend=\($backend) strange=\(strange) mark_chain=\(.externalSetMarkChain)",
        @sh "count=\($mappings | length) snat=\(.snat) masquerade_all=\(.masqAll)",
        @sh "four=\($four) six=\($six) rules4=\(rules("ip"; $four)) rules6=\(rules("ip6"; "[\($six)]"))",
        @sh "conditions4=\(conditions("conditionsV4")) conditions6=\(conditions("conditionsV6"))",
        @sh "udp=\(or_nothing([$mappings[].protocol | select(. == "udp")] | length))",
        @sh "result=\($result | tojson) known=\(del(.conditionsV4, .conditionsV6) | tojson)"')"
real() { printf %s "$known" | CNI_COMMAND=$1 "$REAL"; }

[ "$backend$(command -v iptables)" ] || backend=nftables
case $backend in
nftables) [ "$mark_chain" = null ] || strange="externalSetMarkChain $strange"
    [ -z "$strange" ] || refuse "nftables backend was requested but configuration contains iptables-specific options [$strange]" ;;
iptables | '') [ -z "$strange" ] || refuse "iptables backend was requested but configuration contains nftables-specific options [$strange]"
    printf %s "$config" | "$REAL"
    exit ;;
*) refuse "unrecognized backend \"$backend\"" ;;
esac

# The rules of a container in a family: nft's table family, address, rules of the mappings.
rules() {
    [ -z "$3" ] || printf '%s\n' "$3"
    [ "$snat" = false ] && return
    echo "add chain $1 cni_hostport masquerading { type nat hook postrouting priority 100; }"
    from="$2 127.0.0.1"
    [ "$1" = ip ] || from=$2
    [ "$masquerade_all" = true ] && from=$([ "$1" = ip ] && echo 0.0.0.0/0 || echo ::/0)
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
    [ "$result" != null ] || refuse "must be called as chained plugin"
    if [ "$count" != 0 ]; then
        all=$([ -z "$four" ] || transaction ip "$four" "$rules4" "$conditions4"
            [ -z "$six" ] || transaction ip6 "$six" "$rules6" "$conditions6")
        said=$(printf '%s\n' "$all" | nft -f - 2>&1) || refuse "unable to set up nftables rules for port mappings: $said"
        if [ "$snat" != false ] && dev=$(ip -o route get "${four:-none}" 2>&1 | grep -o ' dev [^ ]*'); then
            echo 1 >"/proc/sys/net/ipv4/conf/${dev# dev }/route_localnet"
        fi
        # It forgets UDP connections; its rules are not wanted.
        [ "$udp" = 0 ] || { real ADD >&2; real DEL >&2; }
    fi
    printf '%s\n' "$result"
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
    [ "$result" != null ] || refuse "Required prevResult missing"
    [ "$count" != 0 ] || return 0
    check_family ip "$four" "$rules4"
    check_family ip6 "$six" "$rules6"
}

# Nothing is missing of the rules of a container in a family, as `rules` takes them.
check_family() {
    [ -n "$2" ] || return 0
    for chain in hostports masquerading; do
        wanted=$(rules "$@" | grep -c "^add rule .* $chain ")
        [ "$(listed "$1" $chain 2>/dev/null | wc -l)" -ge "$wanted" ] || refuse "missing hostport rules in \"$chain\" chain"
    done
}

case $CNI_COMMAND in
ADD) add ;;
DEL) del ;;
CHECK) check ;;
esac
