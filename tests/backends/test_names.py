"""The public names of locks and stores, and what importing them costs."""

import subprocess
import sys

import pytest

import rota.locks
import rota.stores


@pytest.mark.parametrize("module", [rota.locks, rota.stores])
def test_every_name_is_there(module):
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    assert dir(module) == sorted(module.__all__)
    with pytest.raises(AttributeError, match="Memory"):
        _ = module.Unknown


def test_importing_the_names_imports_no_backend():
    code = (
        "import sys, rota.locks, rota.stores; "
        "print([m for m in ('rota.backends.sqlite', 'rota.backends.file', 'filelock') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_testing_package_needs_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import rota.testing"
    subprocess.run([sys.executable, "-c", code], check=True)
