# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook audit_org_api_keys: its files, and descriptions that try to inject code.

One run reads five organizations, two of which it cannot read as a whole. The page that it writes is
checked in a real Chromium if one is installed, and screenshots are kept in tests/output/audit.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import itertools
import json
import re
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.keysmith.mongodb.plugins.filter.visible import visible
from tests.emulator import Emulator
from tests.integration.chromium import Chromium, find
from tests.integration.playbook import AnsibleSandbox, Finished
from tests.support import ROOT, created_at

pytestmark = pytest.mark.slow

PLAYBOOK = "keysmith.mongodb.audit_org_api_keys"
CANARY = "ca11ab1e-0000-4000-8000-{:012d}"
CLIENT_SECRET = "mdb_sa_sk_canary-{:040d}"
OWNER, MEMBER = ("ORG_OWNER",), ("ORG_MEMBER",)
HERE, OFFICE = ("127.0.0.0/8",), ("192.0.2.0/24",)

# Descriptions that try to inject code. PWNED becomes the path of a file.
HOSTILE = [
    "<script>window.pwned = 1</script>",
    '"><img src=x onerror=window.pwned=1>',
    "</th></tr></table><h1>owned</h1>",
    "</bdi></style></title><style>*{display:none}</style>",
    "<!-- ",
    "&lt;b&gt;&amp;#60;",
    "javascript:window.pwned=1",
    "' onclick='window.pwned=1",
    "{{ lookup('ansible.builtin.pipe', 'touch PWNED') }}",
    "{% for x in range(9) %}x{% endfor %}{# gone #}",
    "!unsafe {{ 7 * 7 }}",
    "invoice\u202efdp.exe",
    "\u2066isolated \u200fmarks\u061c",
    "nul\x00bell\x07escape\x1b[31m",
    "two\r\nlines\u2028and a third",
    '=HYPERLINK("http://example.com/?"&A1;"click")',
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "\t=1+1",
    " =1+1",
    "\uff1d1+1",
    "=1+1;x",
    "x;=1+1",
    'x;"=1+1',
    'x,""  =1+1',
    "x\t=1+1\r=1+1\n=1+1",
    "x| @SUM(A1)",
    "x:+1+1",
    "x -1+1",
    "x;- 1+1",
    "x _=1+1",
    "a - b, 2026-11-28, a@b",
    "a; ",
    'quotes "" and, commas; and more',
    "مفتاح النسخ الاحتياطي",
    "  blanks  ",
    "ünïcode ☃ 🔑",
    "W" * 250,
]
FORMULA = "=+-@\uff1d\uff0b\uff0d\uff20"


def organization(number: int, name: str, keys: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "id": org_id(number),
        "name": name,
        "projects": [{"id": project_id(number, n), "name": f"project {n}"} for n in range(9)],
        "api_keys": [
            {
                # Created on different days.
                "id": f"{0x5E000000 + 86400 * (300 * number + n):08x}{n:016d}",
                "public_key": public_key(number, n),
                "private_key": CANARY.format(100_000 * number + n),
                **key,
                "projects": [assignment(number, p) for p in key["projects"]],
            }
            for n, key in enumerate(keys)
        ],
        **more,
    }


def key(
    description: str,
    roles: Sequence[str] = MEMBER,
    projects: Iterable[int] = (0,),
    access_list: Sequence[str] = OFFICE,
) -> dict[str, Any]:
    return {
        "description": description,
        "roles": list(roles),
        "projects": list(projects),
        "access_list": list(access_list),
    }


def org_id(number: int) -> str:
    return f"{number:02x}{0:022d}"


def project_id(number: int, project: int) -> str:
    return f"{number:02x}a{project:021d}"


def assignment(number: int, project: int) -> dict[str, Any]:
    return {"project_id": project_id(number, project), "roles": ["GROUP_READ_ONLY", "GROUP_OWNER"]}


def public_key(number: int, n: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{number:02d}{n:06d}")


def seed(pwned: str) -> dict[str, Any]:
    hostile = [key(text.replace("PWNED", pwned)) for text in HOSTILE]
    mixed = [
        key("signs", OWNER, access_list=HERE),
        key("open", access_list=[]),
        key("open owner", OWNER, [], []),
        key("all of IPv4", access_list=["192.0.2.7", "0.0.0.0/0"]),
        key("all of IPv6", access_list=["::/0"]),
        key("all in halves", access_list=["0.0.0.0/1", "128.0.0.0/1"]),
        key("twin"),
        key("twin", projects=()),
        key("busy", projects=range(9), access_list=[f"198.51.100.{n}" for n in range(9)]),
    ]
    many = [key("signs", OWNER, (), HERE), *(key(f"service {n}") for n in range(200))]
    account = {"client_id": f"mdb_sa_id_{org_id(3)}", "client_secret": CLIENT_SECRET.format(3)}
    empty = {"service_accounts": [{**account, "roles": list(OWNER), "access_list": []}]}
    reads_only = [key("signs", ["ORG_READ_ONLY"], (), HERE), key("someone else's", OWNER)]
    return {
        "organizations": [
            organization(1, "Shop <script>", mixed + hostile),
            organization(2, "Warehouse", many, product="ops_manager"),
            organization(3, "Empty", [], product="cloud_manager", **empty),
            organization(4, "Closed", [key("signs", OWNER, (), HERE)]),
            organization(5, "Partial", reads_only),
        ]
    }


# The findings in the keys of the first organization, except the hostile keys.
FOUND = {
    "signs": ["org_owner"],
    "open": ["no_access_list"],
    "open owner": ["org_owner", "no_access_list", "no_project"],
    "all of IPv4": ["any_address"],
    "all of IPv6": ["any_address"],
    "all in halves": ["any_address"],
    "twin": ["same_description"],
    "busy": [],
}
COUNTS = {
    "org_owner": 4,
    "no_access_list": 2,
    "any_address": 3,
    "same_description": 2,
    "no_project": 4,
}


def hosts(url: str) -> dict[str, dict[str, Any]]:
    """Return the hosts, one per organization, with other variables that must not matter."""

    def credential_name(number: int) -> dict[str, str]:
        private = CANARY.format(100_000 * number)
        return {"api_public_key": public_key(number, 0), "api_private_key": private}

    account = {"client_id": f"mdb_sa_id_{org_id(3)}", "client_secret": CLIENT_SECRET.format(3)}
    machine = {
        "ansible_connection": "ssh",
        "ansible_become": True,
        "ansible_python_interpreter": "/nonexistent/python",
        "base_url": url,
    }
    return {
        "shop": {**machine, "org_id": org_id(1), **credential_name(1)},
        "warehouse": {
            **machine,
            "org_id": org_id(2),
            "platform": "ops_manager",
            **credential_name(2),
        },
        # The playbook finds out the ID.
        "empty": {**machine, "platform": "cloud_manager", "org_id": "", **account},
        "closed": {
            **machine,
            "org_id": org_id(4),
            **credential_name(4),
            "api_private_key": CANARY.format(7),
        },
        "partial": {**machine, "org_id": org_id(5), **credential_name(5), "validate_certs": ""},
    }


@dataclass(frozen=True)
class Audit:
    """A run and the files that it wrote."""

    run: Finished
    folder: Path
    workshop: AnsibleSandbox
    emulator: Emulator
    pwned: Path

    def read(self, kind: str) -> str:
        return (self.folder / f"org_api_keys.{kind}").read_bytes().decode("utf-8")

    @property
    def organizations(self) -> list[dict[str, Any]]:
        return list(json.loads(self.read("json"))["organizations"])

    @property
    def keys(self) -> list[dict[str, Any]]:
        return [key for organization in self.organizations for key in organization["api_keys"]]


def play(
    workshop: AnsibleSandbox,
    variables: Mapping[str, Any],
    *arguments: str,
    hosts: Mapping[str, Mapping[str, Any]] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Finished:
    """Run the playbook by its full name; without hosts, on the implicit localhost."""
    command = [sys.executable, "-m", "ansible", "playbook", PLAYBOOK, "-e", json.dumps(variables)]
    if hosts:
        command += ["-i", str(workshop.write([], hosts)[1])]
    return workshop.finish(workshop.spawn([*command, *arguments], environ))


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory, collections: Path) -> Iterator[Audit]:
    place = tmp_path_factory.mktemp("audit")
    workshop = AnsibleSandbox(place / "run", collections)
    folder, pwned = place / "reports" / "keys", place / "pwned"
    folder.parent.mkdir()
    with Emulator(seed(str(pwned))) as emulator:
        variables = {
            "audit_org_api_keys_hosts": "all",
            "audit_org_api_keys_dest": str(folder),
            "audit_org_api_keys_access_lists": "",
            "awx_user_name": "auditor <b>",
        }
        run = play(workshop, variables, hosts=hosts(emulator.url))
        yield Audit(run, folder, workshop, emulator, pwned)


def test_run_fails_only_for_organizations_that_were_not_read(audit: Audit) -> None:
    assert audit.run.code == 2, audit.run.output
    last = [r for r in audit.run.results if r.task == "Fail if anything could not be read"]
    assert {r.host: r.status for r in last} == {
        "shop": "skipped",
        "warehouse": "skipped",
        "empty": "skipped",
        "closed": "failed",
        "partial": "failed",
    }
    assert (
        "Not audited: Could not list the API keys" in audit.run.result(last[0].task, "closed").msg
    )
    assert "without access lists" in audit.run.result(last[0].task, "partial").msg


def test_nothing_was_written_to_the_organizations(audit: Audit) -> None:
    assert audit.emulator.writes == []


def test_files_are_for_their_owner_only(audit: Audit) -> None:
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in audit.folder.iterdir()}
    assert modes == {f"org_api_keys.{kind}": 0o600 for kind in ("html", "json", "csv")}
    assert stat.S_IMODE(audit.folder.stat().st_mode) == 0o700


def test_no_secret_is_anywhere(audit: Audit) -> None:
    text = audit.run.output + "".join(map(audit.read, ("html", "json", "csv")))
    assert "ca11ab1e" not in text
    assert "canary" not in text


@pytest.mark.each_core
def test_template_in_a_description_is_not_rendered(audit: Audit) -> None:
    assert not audit.pwned.exists()
    descriptions = {key["description"] for key in audit.keys}
    assert {text.replace("PWNED", str(audit.pwned)) for text in HOSTILE} <= descriptions


def test_json_lists_each_organization(audit: Audit) -> None:
    document = json.loads(audit.read("json"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["audited_at"])
    assert document["audited_by"] == "auditor <b>"
    told = [(o["host"], o["name"], o["org_id"], o["platform"]) for o in audit.organizations]
    assert told == [
        ("closed", "", org_id(4), "atlas"),
        ("empty", "Empty", org_id(3), "cloud_manager"),
        ("partial", "Partial", org_id(5), "atlas"),
        ("shop", "Shop <script>", org_id(1), "atlas"),
        ("warehouse", "Warehouse", org_id(2), "ops_manager"),
    ]
    assert [len(o["api_keys"]) for o in audit.organizations] == [0, 0, 2, 9 + len(HOSTILE), 201]
    assert [bool(o["error"]) for o in audit.organizations] == [True] + [False] * 4
    partial = [bool(o["access_lists_error"]) for o in audit.organizations]
    assert partial == [False, False, True, False, False]


@pytest.mark.each_core
def test_findings_are_exact(audit: Audit) -> None:
    shop = {o["host"]: o["api_keys"] for o in audit.organizations}["shop"]
    told = {key["description"]: key["findings"] for key in shop}
    twins = [key["findings"] for key in shop if key["description"] == "twin"]
    assert sorted(twins) == [["same_description"], ["same_description", "no_project"]]
    assert {**told, "twin": ["same_description"]} == {
        **FOUND,
        **{text.replace("PWNED", str(audit.pwned)): [] for text in HOSTILE},
    }
    assert Counter(name for key in audit.keys for name in key["findings"]) == COUNTS


def test_access_list_that_was_not_read_is_not_reported_as_empty(audit: Audit) -> None:
    partial = audit.organizations[2]
    assert "ACCESS_DENIED" in partial["access_lists_error"]
    assert all("access_list" not in key for key in partial["api_keys"])
    rows = [row for row in table(audit) if row["host"] == "partial"]
    assert [row["note"] for row in rows] == ["access list not read"] * 2
    assert audit.read("html").count(">not read<") == 2
    assert audit.read("html").count("Unknown for 2 keys") == 2


def table(audit: Audit) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(audit.read("csv"), newline=""), strict=True))


def test_csv_has_a_row_for_each_key_and_each_organization_without_keys(audit: Audit) -> None:
    rows = table(audit)
    assert [row["api_user_id"] for row in rows if row["api_user_id"]] == [
        k["id"] for k in audit.keys
    ]
    others = {row["host"]: row["note"] for row in rows if not row["api_user_id"]}
    assert others.keys() == {"closed", "empty"}
    assert others["closed"].startswith("not audited: Could not list the API keys")
    assert others["empty"] == "no API keys"
    busy = next(row for row in rows if row["description"] == "busy")
    assert busy["projects"].split("; ")[0] == f"{project_id(1, 0)}: GROUP_OWNER GROUP_READ_ONLY"
    assert busy["access_list"].split() == [f"198.51.100.{n}" for n in range(9)]


def test_each_file_shows_when_a_key_was_created(audit: Audit) -> None:
    moments = [created_at(key["id"]) for key in audit.keys]
    assert [key["created_at"] for key in audit.keys] == moments
    assert [row["created"] for row in table(audit) if row["api_user_id"]] == moments
    shown = re.findall('<time datetime="(.*?)">(.*?)</time></td>', audit.read("html"))
    assert shown == [(moment, moment[:10]) for moment in moments]


@pytest.mark.each_core
def test_csv_shows_descriptions_with_marked_formulas(audit: Audit) -> None:
    told = {row["api_user_id"]: row["description"] for row in table(audit)}
    assert all(value.isprintable() for row in table(audit) for value in row.values())
    for key in audit.keys:
        text = visible(key["description"])
        assert told[key["id"]].replace("'", "") == text.replace("'", "")
        if not set(FORMULA) & set(text):
            assert told[key["id"]] == text
    marked = {
        "=1+1;x": "'=1+1;x",
        " =1+1": " '=1+1",
        "a - b, 2026-11-28, a@b": "a - b, 2026-11-28, a@b",
        'x;"=1+1': "x;\"'=1+1",
        "x| @SUM(A1)": "x| '@SUM(A1)",
        "x -1+1": "x '-1+1",
    }
    assert marked.items() <= {(key["description"], told[key["id"]]) for key in audit.keys}
    assert audit.read("csv").count("\n") == len(table(audit)) + 1


@pytest.mark.parametrize("separator", [*",;|\t :/.!&#~^_*()[]{}<>%$"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONE])
def test_csv_has_no_formula_for_any_separator(audit: Audit, separator: str, quoting: int) -> None:
    """Spreadsheets use a separator of the locale or the user, with or without quotes."""
    lines = io.StringIO(audit.read("csv"), newline="")
    for row in csv.reader(lines, delimiter=separator, quoting=quoting):  # type: ignore[arg-type]
        for value in row:
            # A sign without an operand is not a formula.
            begin = value.strip(' \r\n"')
            assert begin[:1] not in FORMULA or begin in {"", "-", "+"}, value


class Page(HTMLParser):
    """The elements of a page, which must be properly nested, with their attributes and texts."""

    EMPTY = ("meta", "link", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.descriptions: list[str] = []
        self.comments: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if ("scope", "row") in attrs:
            self.descriptions.append("")
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        if self.open[-3:] == ["tr", "th", "bdi"]:
            self.descriptions[-1] += data

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def test_page_has_only_the_elements_of_the_template(audit: Audit) -> None:
    page = Page(audit.read("html"))
    counts = Counter(tag for tag, _attributes in page.elements)
    assert counts.keys() == set(
        "html head meta link title style body header h1 p time bdi nav ul li a span main div h2 h3"
        " section ol details summary table caption thead tr th tbody td code strong footer"
        " script".split()
    )
    singles = ("html", "head", "title", "style", "script", "body", "h1", "main", "header")
    assert [counts[tag] for tag in singles] == [1] * len(singles)
    assert (counts["table"], counts["section"], counts["tr"]) == (3, 6, 3 + len(audit.keys))
    assert page.comments == []
    known = set(
        "lang charset http-equiv content name rel href class id role scope data-first data-label"
        " data-sort datetime aria-labelledby aria-label".split()
    )
    assert {name for _tag, attributes in page.elements for name in attributes} == known


@pytest.mark.each_core
def test_page_shows_every_description_unchanged(audit: Audit) -> None:
    page = Page(audit.read("html"))
    assert page.descriptions == [visible(key["description"]) for key in audit.keys]
    text = html.unescape(audit.read("html"))
    assert all(char.isprintable() or char == "\n" for char in text)


def test_every_link_leads_to_an_element_of_the_page(audit: Audit) -> None:
    page = Page(audit.read("html"))
    ids = [attributes["id"] for _tag, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for _tag, attributes in page.elements if "href" in attributes}
    links -= {"data:,", "org_api_keys.json", "org_api_keys.csv"}
    assert {link[:1] for link in links} == {"#"}
    assert {link[1:] for link in links} <= set(ids)
    assert "://" not in "".join(sum(style_and_script(audit), ()))


def style_and_script(audit: Audit) -> list[tuple[str, ...]]:
    text = audit.read("html")
    return [
        (re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1],) for tag in ("style", "script")
    ]


def test_policy_allows_the_style_and_the_script_by_hash(audit: Audit) -> None:
    page = Page(audit.read("html"))
    policy = next(a["content"] for _tag, a in page.elements if "http-equiv" in a)
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for (text,) in style_and_script(audit)
    ]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_page_shows_findings_and_what_was_not_read(audit: Audit) -> None:
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", audit.read("html"))))
    assert f"{len(audit.keys)} API keys in 4 organizations" in text
    assert "UTC by auditor <b>." in text
    assert "1 organization could not be audited closed: Could not list the API keys" in text
    assert "The access lists of 1 organization could not be read Partial: Could not" in text
    shown = re.findall(r'<span class="number[^"]*">(\d+)</span>', audit.read("html"))
    assert list(map(int, shown)) == list(COUNTS.values())


def luminance(color: str) -> float:
    color = "".join(2 * digit for digit in color) if len(color) == 3 else color
    parts = [int(color[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(p * share for p, share in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


@pytest.mark.parametrize("number", [0, 1], ids=["light", "dark"])
def test_colors_have_enough_contrast(audit: Audit, number: int) -> None:
    """Text meets WCAG 2.2, level AA."""
    found = re.findall(r"--([\w-]+): #(\w+);", style_and_script(audit)[0][0])
    names = list(dict.fromkeys(name for name, _color in found))
    colors = dict(found[number * len(names) : (number + 1) * len(names)])
    assert list(colors) == names
    texts = itertools.product(("ink", "soft", "link", "note", "grave"), ("paper", "raised", "mark"))
    own = [(n, f"{n}-back") for n in ("note", "grave")]
    for text, back in [*texts, *own, ("ink", "grave-back")]:
        values = sorted(luminance(colors[name]) for name in (text, back))
        assert (values[1] + 0.05) / (values[0] + 0.05) >= 4.5, (text, back)


@pytest.fixture
def alone(audit: Audit, tmp_path: Path) -> Any:
    """Return a function that audits the organization of the environment's credential."""
    environ = {
        "MONGODB_ATLAS_PUBLIC_API_KEY": public_key(5, 0),
        "MONGODB_ATLAS_PRIVATE_API_KEY": CANARY.format(500_000),
        "MONGODB_ATLAS_BASE_URL": audit.emulator.url,
        "USER": "alice",
        # No such user exists, so Ansible would use "~alice" as a directory beside the playbook.
        "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote"),
    }

    def run(*arguments: str, **variables: Any) -> Finished:
        given = {"audit_org_api_keys_dest": str(tmp_path / "reports"), **variables}
        return play(audit.workshop, given, *arguments, environ=environ)

    return run


# Unanswered questions of a survey count as unset.
UNANSWERED = dict.fromkeys(("audit_org_api_keys_hosts", "org_id", "platform", "validate_certs"), "")


def test_one_organization_of_the_environment_is_audited(alone: Any, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir(mode=0o750)
    precious = tmp_path / "precious"
    precious.write_text("precious", "utf-8")
    (folder / "org_api_keys.html").symlink_to(precious)
    contents = []
    for _round in range(2):
        run = alone(audit_org_api_keys_access_lists="false", **UNANSWERED)
        assert run.code == 0, run.output
        contents.append({path.name: path.read_text("utf-8") for path in folder.iterdir()})
    assert precious.read_text("utf-8") == "precious"
    assert not (folder / "org_api_keys.html").is_symlink()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    document = json.loads(contents[0]["org_api_keys.json"])
    assert document["audited_by"] == "alice"
    (organization,) = document["organizations"]
    assert (organization["host"], organization["org_id"]) == ("localhost", org_id(5))
    assert organization["access_lists_error"] == ""
    assert "Unknown for 2 keys" in contents[0]["org_api_keys.html"]
    # Two runs differ only in the time.
    for first, second in zip(contents[0].values(), contents[1].values(), strict=True):
        assert without_time(first) == without_time(second)


def without_time(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ| at \d\d:\d\d UTC)", "", text)


def test_check_mode_writes_nothing(alone: Any, tmp_path: Path) -> None:
    run = alone("--check", audit_org_api_keys_access_lists=False)
    assert run.code == 0, run.output
    assert not (tmp_path / "reports").exists()


def test_invalid_variables_stop_the_run(alone: Any, audit: Audit) -> None:
    before = len(audit.emulator.requests)
    run = alone(
        audit_org_api_keys_hosts=7,
        audit_org_api_keys_access_lists="perhaps",
        audit_dest="/nowhere",
        access_lists=False,
    )
    assert run.code == 2
    failed = [result for result in run.results if result.failed][-1]
    assert failed.error["type"] == "options"
    for words in (
        "audit_org_api_keys_hosts must be text",
        "audit_org_api_keys_access_lists must be true or false",
        "Use audit_org_api_keys_dest instead",
        "Use audit_org_api_keys_access_lists instead",
    ):
        assert words in failed.msg
    assert len(audit.emulator.requests) == before


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        ((), {"audit_org_api_keys_hosts": "nowhere"}, "No organization to audit"),
        (("--limit", "a"), {}, "No organization to audit"),
        ((), {"audit_org_api_keys_dest": "reports"}, "is not an absolute path"),
        ((), {}, "is set in the inventory, where it has no effect"),
    ],
    ids=[
        "no such host",
        "a limit that excludes every host",
        "a relative path",
        "hosts by the inventory",
    ],
)
def test_run_that_would_audit_nothing_fails(
    alone: Any, tmp_path: Path, arguments: Any, variables: dict[str, Any], words: str
) -> None:
    inventory = tmp_path / "inventory.json"
    common = {"audit_org_api_keys_hosts": "all"} if not (arguments or variables) else {}
    inventory.write_text(json.dumps({"all": {"hosts": {"a": {}}, "vars": common}}), "utf-8")
    run = alone("-i", str(inventory), *arguments, **variables)
    assert run.code == 2
    assert words in run.output
    assert not (tmp_path / "reports").exists()


@pytest.fixture(scope="module")
def mistaken(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Hosts with the same organization or none, and settings that stop at the first error.

    The report goes to the default directory, and HOME is not the home directory that passwd lists.
    """
    place = tmp_path_factory.mktemp("mistaken")
    workshop = AnsibleSandbox(
        place / "run", Path(audit.workshop.environ["ANSIBLE_COLLECTIONS_PATH"])
    )
    settings = "[defaults]\nany_errors_fatal = true\nstrategy = free\n"
    (workshop.folder / "ansible.cfg").write_text(settings, "utf-8")
    url = audit.emulator.url
    shop = {name: hosts(url)["shop"][name] for name in ("api_public_key", "api_private_key")}
    shop["base_url"] = url
    inventory: dict[str, dict[str, Any]] = {
        # The first host of its organization.
        "z-shop": {**shop, "org_id": org_id(1)},
        "another spelling": {
            **shop,
            "org_id": org_id(1),
            "platform": "atlas",
            "base_url": f"{url.upper().replace('HTTP', 'http')}/api/atlas/v2/",
        },
        # It is not the environment's organization, which is known only after a request.
        "empty org_id": {**shop, "org_id": ""},
        "null org_id": {**shop, "org_id": None},
        "partial": {},
        "empty credential": {"api_public_key": "", "api_private_key": None, "base_url": url},
        "undefined secret": {**shop, "org_id": "", "api_private_key": "{{ vault_missing }}"},
        "number": {**shop, "org_id": 1234},
        "misspelled": {**shop, "organization_id": org_id(4)},
        "no list": {**shop, "org_id": org_id(4), "audit_org_api_keys_access_lists": []},
    }
    environ = {
        "MONGODB_ATLAS_PUBLIC_API_KEY": public_key(5, 0),
        "MONGODB_ATLAS_PRIVATE_API_KEY": CANARY.format(500_000),
        "MONGODB_ATLAS_BASE_URL": url,
        "MONGODB_ATLAS_ORG_ID": org_id(5),
    }
    # The implicit localhost is the first host of the environment's organization.
    variables = {"audit_org_api_keys_hosts": "localhost,all", "audit_org_api_keys_dest": None}
    run = play(workshop, variables, hosts=inventory, environ=environ)
    folder = workshop.home / "org_api_keys"
    return Audit(run, folder, workshop, audit.emulator, audit.pwned)


def test_organization_of_several_hosts_is_audited_once(mistaken: Audit) -> None:
    assert mistaken.run.code == 2, mistaken.run.output
    told = {o["host"]: o for o in mistaken.organizations}
    assert told["z-shop"]["error"] == ""
    assert (told["z-shop"]["name"], len(told["z-shop"]["api_keys"])) == (
        "Shop <script>",
        9 + len(HOSTILE),
    )
    for host in ("another spelling", "empty org_id", "null org_id"):
        assert told[host]["error"].startswith("NOT CHECKED: the host z-shop represents the same")
        assert (told[host]["org_id"], told[host]["api_keys"]) == (org_id(1), [])
        assert mistaken.run.result("Fail if anything could not be read", host).failed


def test_host_without_a_credential_uses_the_organization_of_the_environment(
    mistaken: Audit,
) -> None:
    told = {o["host"]: o for o in mistaken.organizations}
    assert (told["localhost"]["error"], told["localhost"]["org_id"]) == ("", org_id(5))
    assert len(told["localhost"]["api_keys"]) == 2
    assert "host localhost represents the same organization" in told["partial"]["error"]


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("empty credential", ["credential of this host is empty", "org_id"]),
        ("undefined secret", ["api_private_key", "vault_missing"]),
        ("number", ["org_id must be text", "1234"]),
        ("misspelled", ["organization_id", "Use org_id instead"]),
        ("no list", ["audit_org_api_keys_access_lists must be true or false"]),
    ],
)
def test_host_with_an_invalid_variable_is_the_only_one_not_audited(
    mistaken: Audit, host: str, words: list[str]
) -> None:
    (organization,) = (o for o in mistaken.organizations if o["host"] == host)
    for word in words:
        assert word in organization["error"]
    assert organization["api_keys"] == []
    assert mistaken.run.result("Fail if anything could not be read", host).failed
    assert "ca11ab1e" not in mistaken.run.output


CHROMIUM = find()
in_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="chromium, chromium-browser or google-chrome is not installed"
)
PICTURES = ROOT / "tests" / "output" / "audit"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with Chromium(CHROMIUM or "") as page:
        yield page


@pytest.fixture
def page(audit: Audit, chromium: Chromium) -> Chromium:
    chromium.resize(1280, 1600)
    chromium.prefer("light")
    chromium.open(audit.folder / "org_api_keys.html")
    return chromium


@in_chromium
@pytest.mark.parametrize("width", [320, 390, 768, 896, 897, 1280, 2560])
def test_page_fits_in_chromium(audit: Audit, page: Chromium, width: int) -> None:
    page.resize(width, 844 if width < 600 else 1600)
    page.open(audit.folder / "org_api_keys.html")
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("innerWidth") == width
    assert page.complaints() == []
    assert page.requested() == [(audit.folder / "org_api_keys.html").as_uri()]
    assert page.evaluate("window.pwned === undefined && document.images.length === 0")


@in_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_page_has_a_light_and_a_dark_style_in_chromium(
    audit: Audit, page: Chromium, width: int
) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        page.resize(width, 844 if width == 390 else 1600)
        page.prefer(scheme)
        page.open(audit.folder / "org_api_keys.html")
        picture = page.screenshot(PICTURES / f"top-{width}-{scheme}.png")
        page.evaluate("document.querySelector('#org-4').scrollIntoView()")
        page.screenshot(PICTURES / f"keys-{width}-{scheme}.png")
        seen[scheme] = (page.evaluate("getComputedStyle(document.body).backgroundColor"), picture)
    assert seen["light"][0] != seen["dark"][0]
    assert seen["light"][1] != seen["dark"][1]


@in_chromium
@pytest.mark.parametrize("width", [390, 1280])
def test_columns_are_sorted_in_chromium(audit: Audit, page: Chromium, width: int) -> None:
    page.resize(width, 844)
    buttons = "#org-4 thead button"

    def column(number: int) -> list[str]:
        rows = "[...document.querySelector('#org-4 tbody').rows]"
        cell = f"row.cells[{number}]"
        return list(
            page.evaluate(f"{rows}.map((row) => {cell}.dataset.sort ?? {cell}.textContent)")
        )

    def order() -> list[str | None]:
        heads = "[...document.querySelectorAll('#org-4 thead th')]"
        return list(page.evaluate(f"{heads}.map((head) => head.getAttribute('aria-sort'))"))

    ids = sorted(
        page.evaluate("[...document.querySelectorAll('#org-4 tbody tr')].map((r) => r.id)")
    )
    assert order() == [None] * 7
    page.click(buttons, 6)
    assert order() == [None] * 6 + ["descending"]
    findings = list(map(int, column(6)))
    assert findings == sorted(findings, reverse=True)
    assert findings[0] == 3
    page.click(buttons, 6)
    assert order() == [None] * 6 + ["ascending"]
    assert list(map(int, column(6))) == sorted(findings)
    page.click(buttons, 2)
    assert order() == [None] * 2 + ["ascending"] + [None] * 4
    created = column(2)
    assert created == sorted(created)
    assert len({*created}) == len(ids)
    # Sort with the keyboard; numbers in texts are compared as numbers.
    page.evaluate("document.querySelector('#org-5 thead button').focus()")
    page.press_enter()
    texts = page.evaluate(
        "[...document.querySelectorAll('#org-5 tbody th')].map((h) => h.innerText)"
    )
    assert texts == ["signs" if n < 0 else f"service {n}" for n in [*range(200), -1]]
    assert ids == sorted(
        page.evaluate("[...document.querySelectorAll('#org-4 tbody tr')].map((r) => r.id)")
    )
    assert page.complaints() == []


@in_chromium
def test_finding_leads_to_its_keys_in_chromium(page: Chromium) -> None:
    page.click("#same_description summary")
    page.click("#same_description .keys a", 1)
    page.wait_for("document.querySelector('tr:target') !== null")
    assert page.evaluate("document.querySelector('tr:target th').innerText") == "twin"
    top, height = page.evaluate(
        "(() => { const r = document.querySelector('tr:target').getBoundingClientRect();"
        " return [r.top, innerHeight]; })()"
    )
    assert 0 <= top < height


@in_chromium
def test_page_is_complete_without_its_script_in_chromium(audit: Audit, page: Chromium) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(audit.folder / "org_api_keys.html")
        assert page.evaluate("document.querySelectorAll('button').length") == 0
        assert page.evaluate("document.querySelectorAll('tbody tr').length") == len(audit.keys)
        assert page.evaluate("document.querySelector('thead th').innerText") == "Description"
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


@in_chromium
def test_policy_holds_in_chromium(page: Chromium) -> None:
    """An injected script could neither run nor send requests."""
    page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"http://127.0.0.1:9/x.png\">"
        '<a id="evil" style="color: red" onclick="window.pwned = 1">x</a>\');'
        "const s = document.createElement('script'); s.textContent = 'window.pwned = 1';"
        "document.body.append(s); document.querySelector('#evil').click()"
    )
    page.wait_for("document.images[0].complete")
    assert page.evaluate("window.pwned === undefined")
    assert len([text for text in page.complaints() if "Content Security Policy" in text]) >= 4


@in_chromium
def test_page_prints_in_chromium(page: Chromium) -> None:
    assert page.print(PICTURES / "print.pdf").startswith(b"%PDF")
    page.prefer("dark")
    try:
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        page.call("Emulation.setEmulatedMedia", media="print", features=features)
        # The width of a landscape A4 page between the margins.
        page.resize(1017, 1400)
        assert (
            page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 1017
        hidden = (
            "document.querySelector('td details li').checkVisibility({contentVisibilityAuto: true})"
        )
        assert page.evaluate(hidden), "folded content is printed too"
        page.evaluate("document.querySelector('#org-4').scrollIntoView()")
        page.screenshot(PICTURES / "print.png")
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
