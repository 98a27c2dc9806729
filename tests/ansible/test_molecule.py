"""The scenario for Molecule (ansible/extensions/molecule), as far as it can be judged without hosts."""

from pathlib import Path

import pytest
from system.playing import BIN, ROOT, Controller, why_not_playing

INVENTORY = ROOT / "ansible/examples/inventory.yml"


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    if why := why_not_playing():
        pytest.skip(why)
    if not (BIN / "molecule").exists():
        pytest.skip("molecule is not set up (`make check` does, or `make .ansible-venv/.lint`)")
    return Controller(tmp_path / "controller", FLEETNET_INVENTORY=str(INVENTORY))


def test_molecule_takes_the_scenario_and_ansible_its_playbooks(controller: Controller) -> None:
    tree = ROOT / "ansible/extensions"
    scenario = controller.run("env", f"--chdir={tree}", "molecule", "syntax")
    verified = controller.run(
        "ansible-playbook", "--syntax-check", f"--inventory={INVENTORY}", str(tree / "molecule/default/verify.yml")
    )
    for done in (scenario, verified):
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert "WARNING" not in said
