"""The first calls of the Ozone web app, by the client library on which it is built, through the real PDS."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.network.label_town import LabelTown, label_town
from tests.network.netbox import FOLDER, Netbox, node
from tests.network.test_client_calls import read_calls
from tests.service_process import PATIENCE

pytestmark = pytest.mark.network

PROGRAM = """
import { AtpAgent } from '@atproto/api'
const [service, identifier, password, labeler, member] = process.argv.slice(1)
const signedIn = new AtpAgent({ service })
await signedIn.login({ identifier, password })
const { server, team, setting, verification } = signedIn.withProxy('atproto_labeler', labeler).tools.ozone
const role = (name) => `tools.ozone.team.defs#role${name}`
const policyList = 'tools.ozone.setting.policyList'
const instance = { scope: 'instance', key: policyList, managerRole: role('Admin') }
const value = { spam: { name: 'Spam', description: 'Unwanted.' } }
const steps = {
  config: () => server.getConfig(),
  added: () => team.addMember({ did: member, role: role('Triage') }),
  addedTwice: () => team.addMember({ did: member, role: role('Triage') }),
  updated: () => team.updateMember({ did: member, role: role('Moderator'), disabled: false }),
  listed: () => team.listMembers({ limit: 100, roles: [role('Admin'), role('Moderator')], disabled: false }),
  written: () => setting.upsertOption({ ...instance, value }),
  refused: () => setting.upsertOption({ ...instance, value: { spam: {} } }),
  options: () => setting.listOptions({ scope: 'instance', keys: [policyList, 'tools.ozone.setting.protectedTags'] }),
  removed: () => setting.removeOptions({ scope: 'instance', keys: [policyList] }),
  deleted: () => team.deleteMember({ did: member }),
  deletedTwice: () => team.deleteMember({ did: member }),
  notYet: () => verification.listVerifications({ limit: 1 }),
}
const said = {}
for (const [name, step] of Object.entries(steps)) {
  try {
    const { data } = await step()
    said[name] = data ?? null
  } catch (error) {
    said[name] = [error.status, error.error]
  }
}
console.log(JSON.stringify(said))
"""


@pytest.fixture(scope="module")
def town(box: Netbox, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[LabelTown]:
    """A labeler, and alice among the admins of the service."""
    admins = box.info["accounts"]["alice"]["did"]
    with label_town(box, tmp_path_factory.mktemp("ozone"), pytestconfig, "ozonelike", admins=admins) as town:
        town.declare("spoiler")
        town.set_up()
        yield town


def calls(town: LabelTown, who: str, member: str) -> dict[str, Any]:
    """What each step of PROGRAM says to somebody."""
    person = town.person(who).with_app_password()
    words = [str(node()), "--input-type=module", "-e", PROGRAM]
    words += [person.pds, person.handle, person.password, town.labeler.did, member]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_client_of_the_web_app_understands_every_answer(town: LabelTown) -> None:
    alice, bob = town.person("alice"), town.person("bob")
    said = calls(town, "alice", bob.did)
    assert said["config"] == {"appview": {"url": town.appview}, "viewer": {"role": "tools.ozone.team.defs#roleAdmin"}}
    assert (said["added"]["did"], said["added"]["role"]) == (bob.did, "tools.ozone.team.defs#roleTriage")
    assert said["addedTwice"] == [400, "MemberAlreadyExists"]
    assert said["updated"]["role"] == "tools.ozone.team.defs#roleModerator"
    assert {one["did"] for one in said["listed"]["members"]} == {alice.did, bob.did}
    assert said["written"]["option"]["value"] == {"spam": {"name": "Spam", "description": "Unwanted."}}
    assert said["refused"] == [400, "InvalidRequest"]
    assert said["options"]["options"] == [said["written"]["option"]]
    assert said["removed"] == {} and not isinstance(said["deleted"], list)
    assert said["deletedTwice"] == [400, "MemberNotFound"]
    assert said["notYet"] == [501, "MethodNotImplemented"]


def test_who_has_no_role_is_refused(town: LabelTown) -> None:
    said = calls(town, "carol", town.person("bob").did)
    assert said.pop("notYet") == [501, "MethodNotImplemented"]
    assert {name: tuple(one) for name, one in said.items()} == dict.fromkeys(said, (401, "AuthenticationRequired"))


def test_the_calls_of_the_page(town: LabelTown) -> None:
    alice, greta = town.person("alice"), town.person("greta")
    values = {"did:plc:...#atproto_labeler": f"{town.labeler.did}#atproto_labeler", '"did:plc:..."': f'"{greta.did}"'}
    variables = {"PDS": alice.pds, "LABELER": f"{town.labeler.did}#atproto_labeler", "TOKEN": alice.access}
    answers = {call.method: call.send(**variables) for call in read_calls("OZONE.md", values)}
    assert answers["getConfig"]["viewer"]["role"] == "tools.ozone.team.defs#roleAdmin"
    assert answers["addMember"]["did"] == greta.did
