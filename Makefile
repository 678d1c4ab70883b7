# Landlord on Ray. `make` alone says what there is.

PYTHON ?= python3
RUNS ?= 200
SEED ?= 1000
PROCESSES ?= 2
RETRY ?=
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The theme would say in each build that a successor exists.
export NO_MKDOCS_2_WARNING := 1

.DEFAULT_GOAL := help
.PHONY: help run down test coverage suite-tools browser lint format docs screens lock audit sbom bench bench-compare chaos

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Only root can give the demo an account of its own.
run: .venv ## start the control plane and a demo tenant; safe to run twice
	@if [ "$$(id -u)" != 0 ]; then \
		export LANDLORD_PROCESS_UNSAFE="$${LANDLORD_PROCESS_UNSAFE:-true}"; \
		echo "Not root: \`process\` tenants run as you, with all that you may (LANDLORD_PROCESS_UNSAFE=$$LANDLORD_PROCESS_UNSAFE)."; \
	fi; \
	$(BIN)/landlord up && $(BIN)/landlord demo

down: .venv ## stop the control plane; tenants keep running
	@$(BIN)/landlord down

# With RETRY, as in .ci/run, what failed runs once more, in a new session and alone. pytest ends with 1 if tests failed, and with
# another number if it was cut off or could not begin: then nothing is tried again.
test: .venv/installed-dev suite-tools lint ## everything that is checked before a merge
	$(BIN)/python -m pytest -m "not long" -n $(PROCESSES) --durations=25 || { \
		test $$? = 1 && test -n "$(RETRY)" && echo "These failed, and run once more:" && \
		$(BIN)/python -m pytest -m "not long" --last-failed --verbose; }

coverage: .venv/installed-dev suite-tools ## the same tests one after the other, and what they do not reach
	$(BIN)/python -m pytest -m "not long" --cov=controlplane --cov=actors --cov=providers --cov-report=term:skip-covered

lint: .venv/installed-dev ## ruff, mypy --strict, import contracts, and the site without a warning or a dead link
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/mkdocs build

format: .venv/installed-dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/installed-dev ## the site, in site/, with the picture of the floors and the page of licences as they are now
	$(BIN)/python docs/floors.py
	$(BIN)/python docs/supply_chain.py
	$(BIN)/mkdocs build

screens: .venv/installed-dev browser ## the pictures of terminal and dashboard in the docs, by tmux and Chromium, of control planes of their own
	$(BIN)/python docs/screens.py
	$(BIN)/python docs/dashboard.py

chaos: .venv/installed-dev suite-tools browser ## the long tests, and 200 seeded runs of the fault suite; make chaos RUNS=20 SEED=7 for others
	$(BIN)/python -m pytest -m long
	$(BIN)/python -m tests.chaos --runs $(RUNS) --seed $(SEED)

bench: .venv/installed-dev suite-tools ## the benchmarks; results in benchmarks/results/
	$(BIN)/python -m benchmarks

bench-compare: .venv/installed-dev ## what got slower than in BASE=<file of results>; RUN=<file> if not what was measured last
	@test -n "$(BASE)" || { echo "Say what to compare with: make bench-compare BASE=benchmarks/measured.jsonl"; exit 2; }
	$(BIN)/python -m benchmarks.compare $(BASE) $(RUN)

LOCK = $(BIN)/uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --no-build \
	--no-header --no-annotate --upgrade

lock: .venv/installed-dev ## both locks from pyproject.toml, with hashes and without addresses
	$(LOCK) -o requirements.lock
	$(LOCK) --group dev -c requirements.lock -o requirements-dev.lock

sbom: .venv/installed-dev ## what an installation is made of, as CycloneDX: dist/landlord.cdx.json
	$(BIN)/python docs/supply_chain.py dist/landlord.cdx.json

# --strict: a package that could not be looked up is a failure, and not "nothing known".
audit: .venv/installed-dev ## known vulnerabilities of both locks; needs the network, and fails without it
	$(BIN)/uv tool run pip-audit==2.10.1 --strict --disable-pip --require-hashes --progress-spinner off \
		-r requirements.lock -r requirements-dev.lock

# What runs needs requirements.lock alone; tests and tools come on top. requirements-dev.lock names all of both, at the
# same versions. A stamp is made last, so that an installation that was cut off is done again.
PIP := $(BIN)/pip install --quiet --require-hashes --no-deps --only-binary :all:

.venv: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Landlord needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Try make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(call install,python3-venv) }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(PIP) -r requirements-dev.lock
	@touch $@

# What the suite runs against, for real: Docker Engine, a static busybox to build its image from, an image registry, and npm,
# from which the suite takes restate-server (tests/restate.py). The suite starts the registry, PgBouncer, Debian's Postgres, sshd,
# Redis and Prometheus itself: the services of their packages, which would listen for everybody, are masked or not made before they come.
suite-tools:
	@missing=""; \
	PATH="$$PATH:/usr/sbin:/sbin"; \
	command -v dockerd >/dev/null || missing="$$missing docker.io"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v busybox >/dev/null || missing="$$missing busybox-static"; \
	command -v npm >/dev/null || missing="$$missing npm"; \
	command -v docker-registry >/dev/null || missing="$$missing docker-registry"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v pgbouncer >/dev/null || missing="$$missing pgbouncer"; \
	command -v podman >/dev/null || missing="$$missing podman"; \
	command -v promtool >/dev/null || missing="$$missing prometheus"; \
	command -v jq >/dev/null || missing="$$missing jq"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	command -v tmux >/dev/null || missing="$$missing tmux"; \
	command -v rootlesskit >/dev/null || missing="$$missing rootlesskit slirp4netns uidmap"; \
	command -v ip >/dev/null || missing="$$missing iproute2"; \
	command -v iptables >/dev/null || missing="$$missing iptables"; \
	command -v rsync >/dev/null || missing="$$missing rsync"; \
	command -v sshd >/dev/null || missing="$$missing openssh-server openssh-client"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	if [ "$$(id -u)" = 0 ]; then \
		mkdir -p /etc/systemd/system /etc/postgresql-common; \
		for package in docker-registry pgbouncer prometheus redis-server; do \
			case "$$missing" in *$$package*) ln -sf /dev/null /etc/systemd/system/$$package.service;; esac; \
		done; \
		case "$$missing" in *postgresql*) \
			test -e /etc/postgresql-common/createcluster.conf || \
				echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf;; \
		esac; \
		case "$$missing" in *openssh-server*) \
			ln -sf /dev/null /etc/systemd/system/ssh.service; \
			ln -sf /dev/null /etc/systemd/system/ssh.socket;; \
		esac; \
	fi; \
	if [ -n "$$missing" ]; then $(call install,$$missing) fi

# For the pictures of Ray's dashboard, which only a long test takes.
browser:
	@command -v chromium >/dev/null || { $(call install,chromium) }

# $(call install,PACKAGES): with apt where we may, else say what is missing.
define install
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $(1) >/dev/null || exit 1; \
else \
	echo "This needs packages that are not installed and that only root can install, by their Debian names: $(1)"; \
	exit 1; \
fi;
endef
