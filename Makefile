# podwire: one short verb per task, the same for people and for CI. `make help` lists them.
#
# Building and testing need nothing but Rust and Debian's packages; each target installs
# the packages it needs, when they are missing, and says so.

.DEFAULT_GOAL := help
SHELL := /bin/sh

CARGO ?= cargo
NODES ?= 3
BACKEND ?= vxlan
STORE ?= dir
PODS ?= 50
BIN_DIR ?= /opt/cni/bin
SBIN_DIR ?= /usr/local/sbin
SHARE_DIR ?= /usr/local/share
# systemd looks into both; what systemd is told of podwire goes into LIB_DIR, what an operator changes
# into ETC_DIR.
LIB_DIR ?= /usr/local/lib
ETC_DIR ?= /etc
PROGRAM_DIR ?= /usr/local/bin
# Everything is put below this directory, for those who make packages.
DESTDIR ?=

# Namespaces, overlays and cgroups need root; building does not.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo -E)
INSTALL_PACKAGES := tools/install-packages
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release
DEBUG := $(or $(CARGO_TARGET_DIR),target)/debug

# protoc compiles etcd's interface for etcd-client; cc links and builds ring for its TLS.
BUILD_PACKAGES := cc:gcc libc6-dev protoc:protobuf-compiler libprotobuf-dev
DEMO_PACKAGES := ip:iproute2 ping:iputils-ping iperf3:iperf3 curl:curl busybox-static
ETCD_PACKAGES := etcd:etcd-server
# README's commands are run as they stand there.
README_PACKAGES := etcdctl:etcd-client ps:procps jq:jq iptables:iptables nft:nftables
TEST_PACKAGES := $(DEMO_PACKAGES) $(ETCD_PACKAGES) $(README_PACKAGES) \
	containerd:containerd runc:runc podman:podman openssl:openssl tcpdump:tcpdump strace:strace \
	containernetworking-plugins time busybox:busybox-static dnsmasq:dnsmasq-base kea-dhcp4:kea-dhcp4-server \
	systemd-socket-activate:systemd perl:perl firewalld:firewalld dbus-daemon:dbus-daemon \
	kubectl:kubernetes-client $(MAKING_PACKAGES) man:man-db umoci:umoci skopeo:skopeo setfattr:attr newuidmap:uidmap jsonschema:python3-jsonschema \
	chromium:chromium fonts-dejavu-core faketime
KERNEL_PACKAGES := linux.uml:user-mode-linux busybox:busybox-static
VM_PACKAGES := qemu-system-x86_64:qemu-system-x86 busybox:busybox-static jq:jq wg:wireguard-tools mke2fs:e2fsprogs nft:nftables
ARM64_PACKAGES := qemu-system-aarch64:qemu-system-arm busybox:busybox-static mke2fs:e2fsprogs
CHECK_PACKAGES := jq:jq
# Packages, tarballs and what checks them.
MAKING_PACKAGES := jq:jq dpkg-shlibdeps:dpkg-dev
DIST_PACKAGES := $(MAKING_PACKAGES) lintian:lintian
BENCH_PACKAGES := $(DEMO_PACKAGES) $(ETCD_PACKAGES) iptables:iptables time containernetworking-plugins

.PHONY: help
help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-20s %s\n", $$1, $$2 }'
	@echo
	@echo "  demo takes NODES=$(NODES) BACKEND=vxlan|host-gw|udp STORE=dir|etcd; bench takes PODS=$(PODS);"
	@echo "  install takes BIN_DIR=$(BIN_DIR) SBIN_DIR=$(SBIN_DIR) SHARE_DIR=$(SHARE_DIR)"

.PHONY: build-packages
build-packages:
	@$(INSTALL_PACKAGES) $(BUILD_PACKAGES)

# The plugin executable is static, so that it runs on any node it is copied to, and not
# position-independent: a third fewer page faults at each start. It is linked with musl where that
# can be had. netd and the lab resolve names through the system's libc.
STATIC := -C target-feature=+crt-static -C relocation-model=static
# What calls run lies together, and is some twenty page faults less of each.
TOGETHER := -C link-arg=-Wl,-T,plugins/podwire/hot.ld

# Manual pages and shell completion, which the executables themselves tell.
PAGES := $(RELEASE)/podwire-pages

.PHONY: build
build: build-packages ## build the release executables (podwire is static), manual pages, completion
	target=$$(tools/static-target) && \
	$(CARGO) rustc --release --locked --target $$target \
		-p podwire --bin podwire -- $(STATIC) $(TOGETHER) && \
	mkdir -p $(RELEASE) && ln -f $(RELEASE)/../$$target/release/podwire $(RELEASE)/podwire
	$(CARGO) build --release --locked -p netd -p lab -p spec-tests -p pages
	SOURCE_DATE_EPOCH=$(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null)) \
		$(RELEASE)/pages --podwire $(RELEASE)/podwire --netd $(RELEASE)/netd --out $(PAGES)

.PHONY: demo
demo: build ## three nodes, six pods, one network: build it, use it, break it, take it down
	@$(INSTALL_PACKAGES) $(DEMO_PACKAGES) $(if $(filter etcd,$(STORE)),$(ETCD_PACKAGES))
	$(AS_ROOT) $(RELEASE)/lab demo --nodes $(NODES) --backend $(BACKEND) --store $(STORE)

# REQUIRE_NETNS: a test that cannot make its namespaces, or lacks one of TEST_PACKAGES, fails instead of being
# skipped. What is skipped still, and says so, needs links that this kernel lacks (REQUIRE_KINDS, below), or a
# reader of pages that is not in TEST_PACKAGES: mandoc, groff, zsh, fish. All failures are told in one run, and
# not the first alone.
#
# The programs are built with their tests: by themselves they would be built of the same crates with fewer features,
# and the tests of most crates again.
.PHONY: test
test: build-packages ## run every test
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES)
	$(CARGO) test --locked --workspace --no-run
	$(BUILD_STATIC)
	@$(MAKE) --no-print-directory --keep-going --jobs $(addprefix told-,$(TEST_PARTS))

# Cargo starts one test program after the other, and most of them wait: for a daemon, the end of a lease, a packet
# that shall not come. So parts of them run side by side, each with twice as many tests at once as there are
# processors; each line has its part before it, and comes at once: of a test that hangs, and of what failed before it,
# something is to be seen. A part is the programs whose names begin alike; the last one is the complement of the
# others, so that none is left out. `suite` keeps every processor busy, so the first part is small.
# MAKEFLAGS: the tests call make as well.
TEST_THREADS = $(shell expr 2 '*' $$(nproc))
TESTS = MAKEFLAGS= REQUIRE_NETNS=1 RUST_TEST_THREADS=$(TEST_THREADS) $(RUNNER) \
	$(CARGO) test --locked --workspace --no-fail-fast
TEST_PARTS := tests-s tests-a-k tests-others
.PHONY: $(TEST_PARTS) $(addprefix told-,$(TEST_PARTS))
tests-s:
	$(TESTS) --test 's*'; tests=$$?; $(JUDGE_STATIC) && exit $$tests
tests-a-k:
	$(TESTS) --test '[a-k]*'
tests-others:
	$(TESTS) --lib --bins --test '[!a-ks]*'; tests=$$?; $(TESTS) --doc && exit $$tests
$(addprefix told-,$(TEST_PARTS)): told-%:
	@tools/prefixed $(*:tests-%=%) $(MAKE) --no-print-directory $*

# The tests run podwire as it is linked for this machine, with glibc; nodes get the static one. It is built here as
# `make build` does but for the optimization, which takes minutes; `make conformance` judges the optimized one. It is
# judged under the newest version of the specification, the other one under all that came before.
STATIC_VERSION := 1.1.0
BUILD_STATIC = target=$$(tools/static-target) && \
	$(CARGO) rustc --locked --target $$target -p podwire --bin podwire -- $(STATIC)
JUDGE_STATIC = ( target=$$(tools/static-target) && \
	own=$$(mktemp -d) && trap 'rm -rf "$$own"' EXIT INT TERM && \
	$(DEBUG)/../$$target/debug/podwire install --bin-dir "$$own" >/dev/null && \
	$(AS_ROOT) $(DEBUG)/spec-tests run --plugin-dir "$$own" --version $(STATIC_VERSION) --runtime-cases \
		--deviations spec-tests/podwire-deviations.toml )
.PHONY: test-static
test-static: build-packages ## judge the static podwire, under one version of the specification
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES)
	$(CARGO) build --locked -p spec-tests --bins
	$(BUILD_STATIC)
	$(JUDGE_STATIC)

# Cargo builds as whoever calls make and starts the tests through sudo.
HOST_TARGET := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
HOST := $(shell echo $(HOST_TARGET) | tr 'a-z-' 'A-Z_')
RUNNER := $(if $(AS_ROOT),CARGO_TARGET_$(HOST)_RUNNER="$(AS_ROOT)")

# PLUGINS: whom to judge; without it podwire's own plugins, installed into a directory that
# goes again. ARGS: anything else for `spec-tests run`, for example --output junit.
REFERENCE := /usr/lib/cni
.PHONY: conformance
conformance: build ## judge podwire's plugins (or PLUGINS=DIR) with the conformance suite
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES)
	@dir='$(PLUGINS)'; own=; known=; \
	if [ -z "$$dir" ]; then \
		own=$$(mktemp -d); dir=$$own; trap 'rm -rf "$$own"' EXIT INT TERM; \
		$(RELEASE)/podwire install --bin-dir "$$own" >/dev/null; \
		known='--deviations spec-tests/podwire-deviations.toml'; \
	fi; \
	$(AS_ROOT) $(RELEASE)/spec-tests run --plugin-dir "$$dir" --runtime-cases $$known $(ARGS)

.PHONY: conformance-takeover
conformance-takeover: build ## podwire's plugins and the reference's take over each other's pods
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES)
	@own=$$(mktemp -d); trap 'rm -rf "$$own"' EXIT INT TERM; \
	$(RELEASE)/podwire install --bin-dir "$$own" >/dev/null && \
	$(AS_ROOT) $(RELEASE)/spec-tests run --plugin-dir "$$own" --takeover $(REFERENCE) $(ARGS)

.PHONY: conformance-ref
conformance-ref: build ## judge Debian's reference plugins, known deviations allowed
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES)
	$(AS_ROOT) $(RELEASE)/spec-tests run --plugin-dir $(REFERENCE) --runtime-cases \
		--deviations spec-tests/reference-deviations.toml $(ARGS)

# Links that the machine's own kernel may lack: cases about them run under another one, a process
# with the machine's files and no network. PLUGINS: whom to judge in place of the reference; CASES: what.
CASES := vlan/* ipvlan/* dummy/* vrf/* macvlan/* bridge/vlan/* bridge/preserve-default-vlan/* \
	bridge/vlan-trunk/*
TAKEOVER_CASES := takeover/vlan/* takeover/ipvlan/* takeover/macvlan/*
# spec-tests under that kernel, with podwire's plugins in a directory.
WITH_KERNEL_AND_PODWIRE = $(AS_ROOT) tools/with-kernel -t 3600 sh -c \
	'$(RELEASE)/podwire install --bin-dir /opt/podwire >/dev/null && exec $(RELEASE)/spec-tests "$$@"' spec-tests
.PHONY: conformance-kernel
conformance-kernel: build ## judge podwire and the reference (or PLUGINS=DIR) where this kernel lacks kinds of links
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES) $(KERNEL_PACKAGES)
	$(WITH_KERNEL_AND_PODWIRE) run --plugin-dir /opt/podwire --deviations spec-tests/podwire-deviations.toml \
		--time-limit 300 $(CASES:%=--case '%') $(ARGS)
	$(WITH_KERNEL_AND_PODWIRE) run --plugin-dir $(or $(PLUGINS),$(REFERENCE)) \
		--deviations spec-tests/reference-deviations.toml --time-limit 300 $(CASES:%=--case '%') $(ARGS)
	$(WITH_KERNEL_AND_PODWIRE) run --plugin-dir /opt/podwire --takeover $(REFERENCE) \
		--time-limit 300 $(TAKEOVER_CASES:%=--case '%') $(ARGS)
	$(WITH_KERNEL_AND_PODWIRE) prove --plugin-dir $(REFERENCE) --plugin-dir /opt/podwire \
		--plugin-dir spec-tests/tests/models \
		--deviations spec-tests/reference-deviations.toml --time-limit 300 $(CASES:%=--case '%')

# The emulated network of `lab fault` and of cluster files, which this machine's kernel may lack: `make test` skips it then.
.PHONY: qdisc-kernel
qdisc-kernel: build-packages ## qdiscs under user-mode-linux, which has netem
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES) $(KERNEL_PACKAGES)
	$(CARGO) test --locked -p kernel --test traffic_control --no-run
	$(CARGO) build --locked -p netd -p podwire
	$(CARGO) test --locked -p lab --test clusters --test faults --no-run
	$(AS_ROOT) tools/with-kernel env REQUIRE_NETNS=1 \
		$(CARGO) test --locked --offline -p kernel --test traffic_control an_emulated
	$(AS_ROOT) tools/with-kernel env REQUIRE_NETNS=1 \
		$(CARGO) test --locked --offline -p lab --test clusters --test faults -- cables_that the_network

# netd's backend ipip, which this machine's kernel may lack: `make test` skips it then and says so. And leases while
# the kernel's own clock is set, also under etcd, which libfaketime does not reach. Cargo, which builds here, finds
# everything built there.
.PHONY: netd-kernel
netd-kernel: build-packages ## netd's backend ipip, and a clock that is set, under user-mode-linux
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES) $(KERNEL_PACKAGES)
	$(CARGO) test --locked -p netd --test ipip --test lease --test traffic --no-run
	$(AS_ROOT) tools/with-kernel env REQUIRE_NETNS=1 CLOCK_IS_OURS=1 \
		$(CARGO) test --locked --offline -p netd --test lease a_clock
	$(AS_ROOT) tools/with-kernel -t 3600 env REQUIRE_NETNS=1 REQUIRE_KINDS=1 \
		$(CARGO) test --locked --offline -p netd --test ipip --test traffic -- --test-threads 1 \
		--skip wireguard

# Everything that a kernel decides, under the kernel of Debian's servers: the demo, what the lab
# promises about limits and confinement (with cgroups of version 2), every kind of link, flowtables, netd's backend
# wireguard (which this machine's kernel may lack: `make test` skips it then and says so), and the whole
# conformance run, a machine for each plugin. The processor is emulated: all of it takes hours. VM_RUNS
# names fewer runs, so that some can go in the background, each with a log of its own:
#   make test-vm VM_RUNS='vm-demo vm-conformance-portmap' >portmap.log 2>&1 &
# VM_CPUS: processors of the machine; VM_SECONDS: how long a run may take; ARGS: more for `spec-tests run`.
VM_CPUS ?= 1
VM_SECONDS ?= 14400
WITH_VM = $(AS_ROOT) env VM_CPUS=$(VM_CPUS) nice tools/with-vm -t $(VM_SECONDS)
VM_JUDGED = $(shell $(RELEASE)/spec-tests list --output json | \
	jq -r '[.[].plugins[] | select(. != "every plugin")] | unique[]')
VM_RUNS = vm-demo vm-lab vm-links vm-flowtables vm-netd $(VM_JUDGED:%=vm-conformance-%)
# Makes each of some targets, also when one fails, and says in the end which did and where.
EACH_OF = failed=; for run in $(1); do \
		echo "== $$run, $$(date +%H:%M:%S)"; \
		$(MAKE) --no-print-directory "$$run" || failed="$$failed $$run"; \
	done; \
	[ -z "$$failed" ] || { echo "failed $(2):$$failed"; exit 1; }
.PHONY: test-vm
test-vm: build ## demo, limits, links, flowtables, conformance under Debian's own kernel in a virtual machine (hours)
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES) $(VM_PACKAGES)
	@$(call EACH_OF,$(VM_RUNS),under the other kernel)

.PHONY: vm-demo
vm-demo:
	$(WITH_VM) $(RELEASE)/lab demo --nodes $(NODES) --backend $(BACKEND)

# Cargo, which builds here, finds everything built there.
.PHONY: vm-lab
vm-lab:
	$(CARGO) build --locked --bins -p lab -p netd -p podwire
	$(CARGO) test --locked -p lab --test pods --test confinement --test users --no-run
	$(CARGO) test --locked -p sandbox --no-run
	$(WITH_VM) env REQUIRE_NETNS=1 $(CARGO) test --locked --offline -p sandbox
	$(WITH_VM) env REQUIRE_NETNS=1 $(CARGO) test --locked --offline -p lab --test pods limits
	$(WITH_VM) env REQUIRE_NETNS=1 $(CARGO) test --locked --offline -p lab --test confinement
	$(AS_ROOT) env VM_CPUS=$(VM_CPUS) VM_ROOT=ext4 nice tools/with-vm -t $(VM_SECONDS) \
		env REQUIRE_NETNS=1 $(CARGO) test --locked --offline -p lab --test users

.PHONY: vm-links
vm-links:
	$(CARGO) test --locked -p kernel --test kinds --test wireguard --no-run
	$(WITH_VM) env REQUIRE_NETNS=1 REQUIRE_KINDS=1 $(CARGO) test --locked --offline -p kernel \
		--test kinds --test wireguard

# Flowtables, which this machine's kernel may lack: `make test` skips them then and says so.
.PHONY: vm-flowtables
vm-flowtables:
	$(CARGO) test --locked -p podwire --test flowtables --no-run
	$(WITH_VM) env REQUIRE_NETNS=1 REQUIRE_KINDS=1 $(CARGO) test --locked --offline -p podwire --test flowtables

# Two processors: one is busy with the pings, as many as the emulated machine can send up to 1,000 a second.
.PHONY: vm-netd
vm-netd: VM_CPUS = 2
vm-netd:
	$(CARGO) build --locked --bins -p netd
	$(CARGO) test --locked -p netd --test wireguard --test traffic --no-run
	$(WITH_VM) env REQUIRE_NETNS=1 REQUIRE_KINDS=1 PACE_MILLISECONDS=50 $(CARGO) test --locked --offline -p netd \
		--test wireguard --test traffic -- --test-threads 1

vm-conformance-%:
	$(WITH_VM) sh -c '$(RELEASE)/podwire install --bin-dir /opt/podwire >/dev/null && \
		exec $(RELEASE)/spec-tests run --plugin-dir /opt/podwire --plugin "$$@"' spec-tests $* --runtime-cases \
		--deviations spec-tests/podwire-deviations.toml --jobs 2 --time-limit 900 --progress $(ARGS)

# The executables of `make dist-arm64` under Debian's kernel for that architecture: the first case of each subject of
# each plugin (ARM64_CASES names others, for example '*'), and the demo over netd's backends that every kernel has. The
# processor is emulated: a quarter of an hour behind the build. ARM64_RUNS names fewer.
ARM64_CASES ?= $(addsuffix /*/01,announce bandwidth bridge chained del dhcp dummy firewall gc host-device host-local \
	ipvlan loopback macvlan masquerade portmap ptp runtime sbr static status tap tuning vlan vrf)
ARM64_RUNS ?= arm64-conformance arm64-demo-vxlan arm64-demo-host-gw arm64-demo-udp
ARM64_CPUS ?= $(shell nproc)
WITH_ARM64 = $(AS_ROOT) env VM_ARCH=arm64 VM_CPUS=$(ARM64_CPUS) nice tools/with-vm -t $(VM_SECONDS)
.PHONY: test-arm64
test-arm64: build-arm64 ## plugins, netd and the lab for aarch64 under Debian's kernel in a virtual machine
	@$(INSTALL_PACKAGES) $(ARM64_PACKAGES)
	@$(call EACH_OF,$(ARM64_RUNS),on aarch64)

.PHONY: arm64-conformance
arm64-conformance:
	$(WITH_ARM64) sh -c '$(ARM64_RELEASE)/podwire install --bin-dir /opt/podwire >/dev/null && \
		exec $(ARM64_RELEASE)/spec-tests "$$@"' spec-tests run --plugin-dir /opt/podwire --version 1.0.0 \
		--runtime-cases --deviations spec-tests/podwire-deviations.toml --time-limit 300 --progress \
		$(ARM64_CASES:%=--case '%') $(ARGS)

arm64-demo-%:
	$(WITH_ARM64) $(ARM64_RELEASE)/lab demo --nodes $(NODES) --backend $*

.PHONY: check
check: build-packages ## format, lints as errors, documentation as errors, arrows, dependencies
	@$(INSTALL_PACKAGES) $(CHECK_PACKAGES)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" $(CARGO) doc --locked --workspace --no-deps --document-private-items
	tools/check-arrows
	tools/check-dependencies

.PHONY: check-metrics
check-metrics: build-packages ## promtool checks the metrics of netd and the lab and the alert rules; Prometheus reads a lab
	@$(INSTALL_PACKAGES) prometheus:prometheus $(DEMO_PACKAGES)
	promtool check rules deploy/prometheus-rules.yaml
	$(CARGO) build --locked --bins -p netd -p podwire -p lab
	REQUIRE_NETNS=1 $(RUNNER) $(CARGO) test --locked -p netd --test metrics -- --ignored
	REQUIRE_NETNS=1 $(RUNNER) $(CARGO) test --locked -p lab --test figures -- --ignored

.PHONY: bench
bench: build ## compare with the reference plugins, also on a fuller node; netd with 5,000 leases; what the network's paths carry
	@$(INSTALL_PACKAGES) $(BENCH_PACKAGES)
	$(AS_ROOT) $(RELEASE)/lab bench attach --pods $(PODS)
	$(AS_ROOT) $(RELEASE)/lab bench connections
	$(AS_ROOT) $(RELEASE)/lab bench netd
	$(AS_ROOT) $(RELEASE)/lab bench scale $(or $(BENCH_SCALE),--only pods --pods 10,100 --repetitions 2)
	$(AS_ROOT) $(RELEASE)/lab bench net $(BENCH_NET)

.PHONY: bench-net
bench-net: build ## what the network's paths carry: half an hour; BENCH_NET='--paths bridge,ptp' measures some
	@$(INSTALL_PACKAGES) $(BENCH_PACKAGES)
	$(AS_ROOT) $(RELEASE)/lab bench net $(BENCH_NET)

# The project's own pages of figures. Nothing else should run meanwhile. With what is built already it takes some 25
# minutes on two processors. BENCH_NET, BENCH_ATTACH and BENCH_SCALE are other arguments: `--time 3s` for the first
# makes it an hour.
SHORT_ATTACH := --pods 20 --at-once 1,8
SHORT_SCALE := --pods 10,250,900 --mappings 10,1000,5000 --leases 100,5000 --change-time 2s
SHORT_NET := --loads tcp-1,tcp-8,udp-64,latency,connections --time 1s
BENCHMARKS := docs/benchmarks
BENCHMARK_FILES := net attach scale
.PHONY: benchmarks
benchmarks: build ## measure all beside the reference plugins, and write docs/benchmarks (samples, pages, texts)
	@$(INSTALL_PACKAGES) $(BENCH_PACKAGES)
	mkdir -p $(BENCHMARKS)
	$(AS_ROOT) $(RELEASE)/lab bench attach --reference $(REFERENCE) --json $(BENCHMARKS)/attach.json \
		$(or $(BENCH_ATTACH),$(SHORT_ATTACH))
	$(AS_ROOT) $(RELEASE)/lab bench scale --reference $(REFERENCE) --json $(BENCHMARKS)/scale.json \
		$(or $(BENCH_SCALE),$(SHORT_SCALE))
	$(AS_ROOT) $(RELEASE)/lab bench net --plugin-dir $(REFERENCE) --congestion-control cubic \
		--json $(BENCHMARKS)/net.json $(or $(BENCH_NET),$(SHORT_NET))
	@set -e; for name in $(BENCHMARK_FILES); do \
		$(RELEASE)/lab report $(BENCHMARKS)/$$name.json --output $(BENCHMARKS)/$$name.html; \
		$(RELEASE)/lab report $(BENCHMARKS)/$$name.json --format markdown --output $(BENCHMARKS)/$$name.md; \
	done

PICTURES := $(abspath $(or $(CARGO_TARGET_DIR),target)/report-picture)
.PHONY: report-picture
report-picture: build-packages ## headless Chromium looks whether a report's page is cut or covered; pictures in target/
	@$(INSTALL_PACKAGES) chromium:chromium fonts-dejavu-core
	mkdir -p $(PICTURES)
	PICTURES=$(PICTURES) $(CARGO) test --locked -p lab --test report -- --ignored
	@echo "pictures: $(PICTURES)"

UI_PICTURES := $(abspath $(or $(CARGO_TARGET_DIR),target)/ui-picture)
.PHONY: ui-picture
ui-picture: build-packages ## headless Chromium follows a lab on the page of `lab ui`; pictures of it in target/
	@$(INSTALL_PACKAGES) $(DEMO_PACKAGES) chromium:chromium fonts-dejavu-core
	$(CARGO) build --locked --bins -p netd -p podwire -p lab
	mkdir -p $(UI_PICTURES)
	REQUIRE_NETNS=1 PICTURES=$(UI_PICTURES) $(RUNNER) $(CARGO) test --locked -p lab --test ui
	@echo "pictures: $(UI_PICTURES)"

.PHONY: soak
soak: build-packages ## 16 runtimes attach and detach 200 pods each, also of a whole chain with killed calls
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES)
	REQUIRE_NETNS=1 CHURN_ROUNDS=200 $(RUNNER) $(CARGO) test --locked -p podwire --test churn
	REQUIRE_NETNS=1 CHURN_PODS=200 CHURN_ROUNDS=20 $(RUNNER) $(CARGO) test --locked -p podwire --test chain_churn

.PHONY: faults
faults: build-packages ## every system call of ADD and DEL of a chain fails once; all that DEL and GC look at goes meanwhile
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES)
	REQUIRE_NETNS=1 FAULTS_EVERY=1 $(RUNNER) $(CARGO) test --locked -p podwire --test faults --test vanish -- \
		--include-ignored --nocapture

# Memory for 50 daemons: 2 GB. How long each convergence took is printed.
.PHONY: chaos
chaos: build-packages ## 50 netd and one etcd: all at once, a third killed, etcd restarted, compacted, one cut off
	@$(INSTALL_PACKAGES) $(TEST_PACKAGES)
	REQUIRE_NETNS=1 $(RUNNER) $(CARGO) test --locked -p netd --test chaos -- \
		--ignored --nocapture --test-threads 1

# One target after the other; stable Rust suffices without a sanitizer. What is found lies in
# fuzz/libfuzzer/artifacts. The dependencies are those that the workspace's lock file names.
FUZZ_TARGETS := configuration prev_result arguments subnet_env network_config lease dhcp_packet dhcp_stream udp_datagrams tun_packet reservation
FUZZ_SECONDS := 600
.PHONY: fuzz
fuzz: build-packages ## feed every target of fuzz/ for FUZZ_SECONDS (needs cargo-fuzz: cargo install cargo-fuzz)
	@$(INSTALL_PACKAGES) g++:g++
	@cp Cargo.lock fuzz/libfuzzer/Cargo.lock
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/libfuzzer/corpus/$$target fuzz/libfuzzer/artifacts/$$target && \
		FUZZ_DIR=$$PWD/fuzz/libfuzzer $(AS_ROOT) $(CARGO) fuzz run --fuzz-dir fuzz/libfuzzer --sanitizer none \
			$$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -len_control=0 -timeout=30 \
			-rss_limit_mb=1024 || exit 1; \
	done

.PHONY: install
install: build ## install plugins (BIN_DIR), netd (SBIN_DIR), the lab (PROGRAM_DIR), units (LIB_DIR), manuals, completion (SHARE_DIR)
	@$(MAKE) --no-print-directory install-files

# What was built already. The lab looks for the others beside itself.
.PHONY: install-files
install-files: install-units
	$(AS_ROOT) $(RELEASE)/podwire install --bin-dir $(DESTDIR)$(BIN_DIR)
	$(AS_ROOT) install -D -m 0755 $(RELEASE)/netd $(DESTDIR)$(SBIN_DIR)/netd
	$(AS_ROOT) install -D -m 0755 $(RELEASE)/lab $(DESTDIR)$(LIB_DIR)/podwire/lab
	$(AS_ROOT) ln -sfr $(DESTDIR)$(SBIN_DIR)/netd $(DESTDIR)$(BIN_DIR)/podwire $(DESTDIR)$(LIB_DIR)/podwire
	$(AS_ROOT) install -d $(DESTDIR)$(PROGRAM_DIR)
	$(AS_ROOT) ln -sfr $(DESTDIR)$(LIB_DIR)/podwire/lab $(DESTDIR)$(PROGRAM_DIR)/podwire-lab
	$(AS_ROOT) install -D -m 0644 -t $(DESTDIR)$(SHARE_DIR)/man/man1 $(PAGES)/man/man1/*
	$(AS_ROOT) install -D -m 0644 -t $(DESTDIR)$(SHARE_DIR)/man/man7 $(PAGES)/man/man7/*
	$(AS_ROOT) install -D -m 0644 -t $(DESTDIR)$(SHARE_DIR)/man/man8 $(PAGES)/man/man8/*
	$(AS_ROOT) install -D -m 0644 -t $(DESTDIR)$(SHARE_DIR)/bash-completion/completions $(PAGES)/completion/bash/*
	$(AS_ROOT) install -D -m 0644 -t $(DESTDIR)$(SHARE_DIR)/zsh/site-functions $(PAGES)/completion/zsh/*
	$(AS_ROOT) install -D -m 0644 -t $(DESTDIR)$(SHARE_DIR)/fish/vendor_completions.d $(PAGES)/completion/fish/*

# What systemd is told, with the places of the programs. Nothing is started or enabled. A configuration
# that is there stays.
UNITS := $(wildcard deploy/*.service deploy/*.socket deploy/*.timer)
.PHONY: install-units
install-units:
	$(AS_ROOT) install -D -m 0644 -t $(DESTDIR)$(LIB_DIR)/systemd/system $(UNITS)
	$(AS_ROOT) sed -i 's|/opt/cni/bin/|$(BIN_DIR)/|; s|/usr/local/sbin/|$(SBIN_DIR)/|' \
		$(UNITS:deploy/%=$(DESTDIR)$(LIB_DIR)/systemd/system/%)
	$(AS_ROOT) install -D -m 0644 deploy/tmpfiles.conf $(DESTDIR)$(LIB_DIR)/tmpfiles.d/podwire.conf
	[ -e $(DESTDIR)$(ETC_DIR)/podwire/netd.env ] || \
		$(AS_ROOT) install -D -m 0644 deploy/netd.env $(DESTDIR)$(ETC_DIR)/podwire/netd.env

# Debian packages, a tarball, their contents (SBOM) and checksums, all in dist/. lintian fails on anything it
# says that deploy/debian does not give a reason for.
.PHONY: dist
dist: build ## make Debian packages, a tarball, SBOM and checksums in dist/
	@$(INSTALL_PACKAGES) $(DIST_PACKAGES)
	rm -rf dist
	tools/make-packages $(RELEASE) dist
	lintian --fail-on error,warning dist/*.deb
	tools/make-tarball $(RELEASE) dist

# The same for aarch64, beside what dist made. Manuals and completion are those of this machine's executables.
ARM64 := aarch64-unknown-linux-gnu
ARM64_RELEASE := $(or $(CARGO_TARGET_DIR),target)/$(ARM64)/release
ARM64_CARGO := CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc $(CARGO)
.PHONY: build-arm64
build-arm64: build-packages
	@$(INSTALL_PACKAGES) aarch64-linux-gnu-gcc:gcc-aarch64-linux-gnu
	rustup target add $(ARM64)
	$(ARM64_CARGO) rustc --release --locked --target $(ARM64) \
		-p podwire --bin podwire -- $(STATIC)
	$(ARM64_CARGO) build --release --locked --target $(ARM64) -p netd -p lab -p spec-tests

.PHONY: dist-arm64
dist-arm64: build build-arm64 ## make packages and a tarball for aarch64 in dist/, with Debian's cross compiler
	@$(INSTALL_PACKAGES) $(DIST_PACKAGES)
	tools/make-packages $(RELEASE) dist arm64 $(ARM64_RELEASE)
	lintian --fail-on error,warning dist/*_arm64.deb
	tools/make-tarball $(RELEASE) dist aarch64 $(ARM64_RELEASE)

# An OCI image archive, and its layer for deploy/Containerfile, in dist/.
.PHONY: image
image: build ## make a container image of netd and podwire in dist/ (no daemon, no base image)
	@$(INSTALL_PACKAGES) jq:jq iptables:iptables
	tools/make-image $(RELEASE) dist

.PHONY: deny
deny: ## advisories too (needs the network, and `cargo install --locked cargo-deny`)
	$(CARGO) deny --all-features check
