"""The pytest plugin that comes with the package: failures of the kits say what was compared.

pytest rewrites assertions in test files only, unless a module is named to it before its import.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("cdm_inspect.hooks.conformance")
