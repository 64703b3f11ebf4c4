# `make demo` and `make test` are all there is to know; CONTRIBUTING.md explains the rest.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
# What a program is called beside differ.
NAMES := apply rebase dockerfile frontend
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test test-quick test-programs test-pyz test-static test-image bin pyz image check fmt laws memory scale fuzz faults hostile model differential startup bench bench-quick plots bench-frontend clean

help:
	@sed -n 's/^## //p' Makefile

## make demo        compare two releases of a package from PyPI, write the difference, prove it
demo: $(VENV)/installed
	@docs/demo.sh $(BIN)

## make test        the tests; as root with those that need root, with CI=true with the two below
test: packages-test $(VENV)/installed-test
	$(BIN)/pytest -m "not image"
ifeq ($(CI),true)
test: test-programs test-image
endif

## make test-quick  without the Debian and PyPI trees, a minute shorter
test-quick: $(VENV)/installed-test
	$(BIN)/pytest -m "not real and not image"

# Side by side: each waits for the processes that it starts more than it works.  (A shell would have what it starts
# with & ignore SIGINT.)
## make test-programs  the command line's tests on the .pyz and on the static program
test-programs: $(VENV)/installed-test pyz bin
	@$(MAKE) --no-print-directory -j2 -Otarget test-pyz test-static

test-pyz test-static:
	DIFFER_PROGRAMS=$(if $(filter test-pyz,$@),build/pyz/bin,dist/bin) $(BIN)/pytest -p no:cacheprovider -m "cli and not inside"

## make test-image  the image on Docker 20.10, Docker 26.1 and buildah (as root; Debian only)
test-image: packages-test packages-bin $(VENV)/installed-test
	@docs/install-packages.sh qemu-user
	@tests/image/install-engines.sh $(VENV)/engines
	$(BIN)/pytest -m image

## make bin         the static program, as dist/bin/differ and its other names
bin: packages-bin
	container/build.sh dist/bin/differ
	for name in $(NAMES); do ln -f dist/bin/differ dist/bin/differ-$$name || exit; done

# This kind of Python starts it without compiling; any other passes over what is not for it.
## make pyz         one file for any Python 3.11 or newer, as dist/differ.pyz and its other names
pyz: packages
	rm -rf build/pyz
	mkdir -p build/pyz/tree build/pyz/bin dist
	cp -r differ container/__main__.py build/pyz/tree
	find build/pyz/tree -name __pycache__ -prune -exec rm -r {} +
	rm -f build/pyz/tree/differ/_suspects*
	$(PYTHON) -m compileall -q -b -s build/pyz/tree --invalidation-mode unchecked-hash build/pyz/tree
	find build/pyz/tree -exec touch -d 1980-01-01T00:00:00Z {} +
	TZ=UTC $(PYTHON) -m zipapp -c -p '/usr/bin/env python3' -o dist/differ.pyz build/pyz/tree
	chmod 755 dist/differ.pyz
	for name in $(NAMES); do ln -f dist/differ.pyz dist/differ-$$name.pyz || exit; done
	TZ=UTC $(PYTHON) -m zipapp -c -p $(PYTHON) -o build/pyz/bin/differ build/pyz/tree
	chmod 755 build/pyz/bin/differ
	for name in $(NAMES); do ln build/pyz/bin/differ build/pyz/bin/differ-$$name || exit; done

## make image       the runner image, with docker (DOCKER, IMAGE and BUILD_FLAGS may be given)
DOCKER ?= docker
IMAGE ?= differ
image:
	DOCKER_BUILDKIT=1 $(DOCKER) build $(BUILD_FLAGS) -f container/Dockerfile -t $(IMAGE) \
	    --build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' differ/__init__.py)" \
	    --build-arg REVISION="$$(git rev-parse HEAD)" \
	    --build-arg SOURCE="$$(git config --get remote.origin.url || echo unknown)" .

## make laws        5,000 examples for each law and style
laws: packages-test $(VENV)/installed-test
	DIFFER_LAWS=deep $(BIN)/pytest tests/test_laws.py tests/test_layer_laws.py

## make memory      peak memory against the number of files
memory: $(VENV)/installed
	$(BIN)/python bench/memory.py

## make scale       time and memory at up to 2,000,000 files, and 2,000 runs in one process
scale: $(VENV)/installed
	$(BIN)/python -m bench.scale $(SCALE)

## make fuzz        what strangers write, changed by a fuzzer that watches the code: ten minutes each (FUZZ=SECONDS)
fuzz: $(VENV)/installed-test
	$(BIN)/pip install -q -e '.[fuzz]'
	$(BIN)/python -m tests.fuzz $(FUZZ)

## make faults      every system call fails, signals, full disks, trees that change: as root, 25 minutes (FAULTS=OPTIONS)
faults: packages-test $(VENV)/installed-test bin
	$(BIN)/python -m tests.campaigns.faults $(FAULTS)

## make hostile     links that race, shapes, mounts and owners that want to harm: as root, 40 minutes (HOSTILE=OPTIONS)
hostile: packages-test $(VENV)/installed-test bin
	$(BIN)/python -m tests.campaigns.hostile $(HOSTILE)

## make model       20,000 random scripts of edits on five file systems beside a model: as root, an hour (MODEL=OPTIONS)
model: packages-test $(VENV)/installed-test
	$(BIN)/python -m tests.campaigns.model $(MODEL)

## make differential  containerd's walk, umoci and rsync on 4,000 random pairs: as root, half an hour (DIFFERENTIAL=OPTIONS)
differential: packages-test $(VENV)/installed-test
	$(BIN)/python -m tests.campaigns.differential $(DIFFERENTIAL)

## make startup     CPU time of the static program's start against python3 -c pass
startup: bin
	$(PYTHON) bench/startup.py dist/bin/differ

## make bench       wall time beside containerd, rsync, diff, cp and a floor in C (as root; Debian only)
bench: packages-bench $(VENV)/installed-test bin
	$(BIN)/python -m bench.speed $(BENCH)

## make bench-quick  the same on smaller trees, in under 5 minutes
bench-quick: packages-bench $(VENV)/installed-test bin
	$(BIN)/python -m bench.speed --quick $(BENCH)

## make plots       the cost by the size of the tree and by the number of changes, as plots in docs/
plots: packages-bench $(VENV)/installed-test
	$(BIN)/python -m bench.plots

## make bench-frontend  cached builds with a..b against the engine's own frontend (as root; Debian only)
bench-frontend: packages-bin $(VENV)/installed-test
	@tests/image/install-engines.sh $(VENV)/engines
	$(BIN)/python -m bench.frontend

## make fmt check   format; lint, types, layers, spelling
fmt: $(VENV)/installed-test
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

check: $(VENV)/installed-test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

## make clean       remove what make has made
clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.PHONY: packages packages-test packages-bin packages-bench
packages:
	@docs/install-packages.sh python3 python3-venv ca-certificates

packages-test: packages
	@docs/install-packages.sh acl attr btrfs-progs chromium debootstrap e2fsprogs fonts-dejavu-core gcc \
	    golang-github-containerd-continuity-dev golang-go libc6-dev libpython3-dev ntfs-3g rsync skopeo strace tar \
	    umoci util-linux xfsprogs

packages-bin: packages
	@docs/install-packages.sh gcc libc6-dev libpython3-dev zlib1g-dev python3-h2 python3-hpack python3-hyperframe

packages-bench: packages
	@docs/install-packages.sh debootstrap diffutils e2fsprogs gcc golang-go golang-github-containerd-containerd-dev \
	    golang-github-containerd-continuity-dev libc6-dev rsync tar umoci util-linux

$(VENV)/installed: setup.cfg pyproject.toml | packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install -q -e '.[test,check]'
	touch $@
