# What can be made in a clone of mailfleet.sending; `make help` lists it.
.DEFAULT_GOAL := help
TARGETS := test test-long lint unit ansible integration sanity newest molecule bench demo lab-up lab-down clean
.PHONY: help prepare prepare-lab prepare-test $(TARGETS)

PYTHON := .venv/bin/python
PARTS := $(PYTHON) tools/run_parts.py
BENCH := dns bounces maillog

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 13

ifneq ($(shell id -u),0)

# Containers and packages need root. All or nothing, so that no file here belongs to root one day and to you the next.
# With MAKEFLAGS a dry run stays one: the line names $(MAKE), so it runs under -n too.
KEPT := MAKEFLAGS,CI,PIP_CERT,PIP_INDEX_URL,PIP_EXTRA_INDEX_URL,PIP_FIND_LINKS,http_proxy,https_proxy,no_proxy
$(TARGETS):
	@sudo --preserve-env=$(KEPT) $(MAKE) --no-print-directory $@

else

test: prepare-test ## everything that must hold: linters, unit tests, real daemons, sanity, the newest ansible-core, the lab
	@$(PARTS)

test-long: prepare-test ## the same with the long forms of the tests
	@$(PARTS) --long

lint: prepare ## ruff, yamllint, ansible-lint, the linters of documentation, READMEs of roles and changelog
	@$(PARTS) lint

unit: prepare ## unit tests: seconds, without Ansible, containers or network
	@$(PARTS) unit

ansible: prepare ## tests that run ansible-playbook on this host alone
	@$(PARTS) ansible

integration: prepare-test ## tests with real daemons, in containers and on this host, and of pages in a browser
	@$(PARTS) integration

sanity: prepare ## ansible-test sanity, nothing ignored
	@$(PARTS) sanity

newest: prepare-lab ## unit tests and sanity with the newest ansible-core, in a container
	@$(PARTS) newest

molecule: prepare-lab ## the lab as a test: check, converge, idempotence, verify
	@$(PARTS) molecule

bench: prepare ## verification of DNS, reading of bounces and of the mail log beside others: speed as ratios; not a test
	@set -e; for name in $(BENCH); do $(PYTHON) bench/$$name; done

# What Ansible keeps goes with `make clean`; sockets need a short path, whatever that of the clone is.
demo: lab-up ## build the lab and run playbooks/site.yml against its two bare servers
	@PATH="$(CURDIR)/.venv/bin:$$PATH" ANSIBLE_CONFIG=ansible.cfg ANSIBLE_HOME="$(CURDIR)/.cache/ansible/demo" \
	  ANSIBLE_SSH_CONTROL_PATH_DIR=/run/mailfleet ansible-playbook playbooks/site.yml -i lab/inventory </dev/null

lab-up: prepare-lab ## build and start the lab; what is already there is used again
	@$(PYTHON) lab/lab.py up

lab-down: ## stop the lab and remove its containers and networks
	@python3 lab/lab.py down

clean: ## remove all that was made here: the lab, its images, caches, .venv
	@python3 tools/clean.py

prepare:
	@python3 tools/prepare.py

prepare-lab:
	@python3 tools/prepare.py --containers

prepare-test:
	@python3 tools/prepare.py --containers --browser --monitoring

endif
