# Everything here needs only git, make and Python 3.11 or newer. Settings, each with an example:
#   make lab PORT=8889               another port
#   make lab PYTHON=/opt/python3.12  another Python
#   make test ARGS="-k ctf"          more options for pytest (or for JupyterLab: make lab ARGS=--no-browser)
PORT = 8888
PYTHON =
ARGS =
# pytest runs in a process on each of up to four cores; each takes some 500 MB.
WORKERS = --numprocesses=logical --maxprocesses=4 --dist=loadfile

.PHONY: help lab test check portable lint book pins clean
help:
	@echo "make lab      open the course in JupyterLab (the first time: make its environment)"
	@echo "make test     run every test, notebooks included"
	@echo "make check    run the fast tests"
	@echo "make portable run the lessons with the arithmetic of other processors"
	@echo "make lint     look over the code with ruff and mypy"
	@echo "make book     write the book of the course into docs/_build/html"
	@echo "make pins     move to the newest versions and write them down (then run make test)"
	@echo "make clean    remove the environment and everything else that was made here"

# $(call environment,OPTIONS): make .venv, or find it ready, with the first Python that is new enough.
environment = @for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    exec "$$python" tools/environment.py $(if $(PYTHON),--python-chosen) $(1); \
	  fi; \
	done; \
	echo "$(if $(PYTHON),$(PYTHON) is not a Python 3.11 or newer,No Python 3.11 or newer was found): install one" \
	  "(from python.org or with your package manager), or say where it is with 'make $@ PYTHON=/path/to/python3'." >&2; \
	exit 1

lab:
	$(call environment,--port $(PORT))
	@echo "Opening the course at http://localhost:$(PORT) (stop it with Ctrl-C) …"
	@.venv/bin/python -m jupyterlab --port=$(PORT) --ServerApp.port_retries=0 --ServerApp.root_dir=notebooks \
	  --LabApp.default_url=/lab/tree/index.ipynb \
	  $$([ "$$(id -u)" = 0 ] && echo --allow-root) $(ARGS)

test:
	$(call environment,--extra dev)
	@echo "Running every test …"
	@.venv/bin/python -m pytest $(WORKERS) $(ARGS)

check:
	$(call environment,--extra test)
	@echo "Running the fast tests …"
	@.venv/bin/python -m pytest $(WORKERS) -p no:nbval -m "not slow and not notebook and not browser" $(ARGS)

portable:
	$(call environment,--extra test)
	@.venv/bin/python tools/portable.py --pytest="$(WORKERS)" $(ARGS)

lint:
	$(call environment,--extra test)
	.venv/bin/python -m ruff check .
	.venv/bin/python -m mypy

book:
	$(call environment,--extra docs)
	@.venv/bin/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "The book is in docs/_build/html/index.html"

pins:
	$(call environment,--extra dev)
	.venv/bin/python -m pip install --upgrade --upgrade-strategy eager hatchling editables -e '.[dev]'
	.venv/bin/python tools/pins.py

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find cryoedu tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
