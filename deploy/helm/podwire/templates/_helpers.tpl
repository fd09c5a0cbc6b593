{{/* The network configuration, as JSON: keys that are not given are left out. */}}
{{- define "podwire.netConf" -}}
{{- $v := .Values.flannel -}}
{{- $backend := dict "Type" $v.backend -}}
{{- $keys := dict -}}
{{- if eq $v.backend "vxlan" -}}
{{- $keys = dict "Port" "backendPort" "VNI" "vni" "GBP" "GBP" "DirectRouting" "directRouting" "MTU" "mtu" "MacPrefix" "macPrefix" -}}
{{- else if eq $v.backend "wireguard" -}}
{{- $keys = dict "ListenPort" "backendPort" "ListenPortV6" "backendPortv6" "PSK" "psk" "MTU" "mtu" "Mode" "tunnelMode" "PersistentKeepaliveInterval" "keepaliveInterval" -}}
{{- else if eq $v.backend "ipip" -}}
{{- $keys = dict "DirectRouting" "directRouting" -}}
{{- else if eq $v.backend "udp" -}}
{{- $keys = dict "Port" "backendPort" -}}
{{- end -}}
{{- $numbers := list "Port" "VNI" "MTU" "ListenPort" "ListenPortV6" "PersistentKeepaliveInterval" -}}
{{- range $key, $from := $keys -}}
{{- $value := index $v $from -}}
{{- if $value -}}
{{- if has $key $numbers -}}{{- $value = int $value -}}{{- end -}}
{{- $_ := set $backend $key $value -}}
{{- end -}}
{{- end -}}
{{- $conf := dict "EnableNFTables" $v.enableNFTables "Backend" $backend -}}
{{- if .Values.podCidr -}}
{{- $_ := set $conf "Network" .Values.podCidr -}}
{{- else -}}
{{- $_ := set $conf "EnableIPv4" false -}}
{{- end -}}
{{- if .Values.podCidrv6 -}}
{{- $_ := set $conf "IPv6Network" .Values.podCidrv6 -}}
{{- $_ := set $conf "EnableIPv6" true -}}
{{- end -}}
{{- $conf | toPrettyJson -}}
{{- end -}}

{{- define "podwire.image" -}}
{{ .Values.flannel.image.repository }}:{{ .Values.flannel.image.tag }}
{{- end -}}
