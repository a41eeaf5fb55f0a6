module github.com/go-proxyauth/go-proxyauth/examples/benchmarks

go 1.26.0

require (
	github.com/Azure/go-ntlmssp v0.1.1
	github.com/aus/proxyplease v0.1.0
	github.com/go-proxyauth/go-proxyauth v0.0.0
	github.com/icholy/digest v1.2.0
	github.com/jcmturner/gokrb5/v8 v8.4.4
	github.com/launchdarkly/go-ntlm-proxy-auth v1.0.3
	github.com/launchdarkly/go-ntlmssp v1.0.3
	github.com/mongodb-forks/digest v1.1.0
	github.com/mwitkow/go-http-dialer v0.0.0-20161116154839-378f744fb2b8
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/alexbrainman/sspi v0.0.0-20250919150558-7d374ff0d59e // indirect
	github.com/git-lfs/go-ntlm v0.0.0-20190401175752-c5056e7fa066 // indirect
	github.com/hashicorp/go-uuid v1.0.3 // indirect
	github.com/jcmturner/aescts/v2 v2.0.0 // indirect
	github.com/jcmturner/dnsutils/v2 v2.0.0 // indirect
	github.com/jcmturner/gofork v1.7.6 // indirect
	github.com/jcmturner/goidentity/v6 v6.0.1 // indirect
	github.com/jcmturner/rpc/v2 v2.0.3 // indirect
	github.com/rapid7/go-get-proxied v0.0.0-20181210221417-16249a544090 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	h12.io/socks v1.0.1 // indirect
)

replace github.com/go-proxyauth/go-proxyauth => ../..
