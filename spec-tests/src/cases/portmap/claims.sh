# A second pod that asks for host port 8080 is refused.
if [ "$CNI_COMMAND$CNI_CONTAINERID" = ADDother ] && { iptables-save -t nat; nft list ruleset; } | grep -Eq 'dports? 8080'; then
    echo '{"code": 999, "msg": "host port 8080 is taken by container ctr1"}'
    exit 1
fi
