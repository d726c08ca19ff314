# Two commands: make demo, make test. `make help` lists the rest.
VENV := .venv
PY := $(VENV)/bin/python
unexport PYTHONDONTWRITEBYTECODE

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | sort | expand -t 12

demo: system $(VENV)/made ## the whole story in two minutes; the figure is in build/demo (FULL=1: the paper's 400 s)
	@$(PY) -m premises.demo $(if $(FULL),--full)

test: system-tests $(VENV)/made ## all tests, unit tests first
	@rm -f build/attacks.json
	@$(PY) -m pytest -m 'not system and not hypothesis' -n auto
	@$(PY) -m pytest -m 'not system and hypothesis' -n auto
	@$(PY) -m pytest -m 'system and not alone' -n 2 --dist loadfile --no-loadscope-reorder
	@$(PY) -m pytest -m 'system and alone'
	@$(PY) tests/attacks/table.py

contract: system-tests $(VENV)/made ## with OPENWRT_ROOT: each stand-in beside OpenWrt's own, and with its counterpart
	@: $${OPENWRT_ROOT:?has to be the folder with the programs of OpenWrt: sbin/ubusd, bin/ubus, bin/opkg, bin/usign}
	@OPENWRT_COMPARE=1 $(PY) -m pytest tests/openwrt tests/isdf/ubus

lint: $(VENV)/made ## style and the usual mistakes
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .

bench: system $(VENV)/made ## the figures, written to build/bench, and which meet their goals (25 minutes)
	@rm -f build/bench/*.json
	@$(PY) -m pytest -s tests/bench; tests=$$?; $(PY) -m bench.goals && exit $$tests

clean: ## remove what was made
	rm -rf build $(VENV)
	find . -name __pycache__ -prune -exec rm -rf {} +

system:
	@tests/require.sh

system-tests:
	@tests/require.sh tests

$(VENV)/made: pyproject.toml tests/pyproject.toml
	@echo "Making $(VENV) (about a minute, once)"
	@test -x $(PY) || python3 -m venv $(VENV)
	@$(VENV)/bin/pip install -q --disable-pip-version-check -e '.[dev]' -e tests
	@$(PY) -m compileall -q tests/openwrt package manager  # the homes see the checkout read-only
	@touch $@

.PHONY: help demo test contract lint bench clean system system-tests
