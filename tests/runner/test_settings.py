"""Where each setting comes from, who wins, and that nothing wrong or secret comes in."""

from __future__ import annotations

import ssl
import subprocess
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.dotenv import load_dotenv, read_dotenv
from runner.errors import UsageError
from runner.setting_table import SECRETS, SETTINGS, Kind
from runner.settings import Settings, allowed, load_settings, preset_names, secrets_set

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Desk:
    """A user's home and project."""

    def __init__(self, root: Path) -> None:
        self.home, self.project = root / "home", root / "project"
        (self.project / ".git").mkdir(parents=True)
        (self.home / "framehaul").mkdir(parents=True)
        self.environment = {"XDG_CONFIG_HOME": str(self.home)}

    def write_project(self, text: str) -> None:
        (self.project / "framehaul.toml").write_text(text)

    def write_user(self, text: str) -> None:
        (self.home / "framehaul" / "config.toml").write_text(text)

    def load(self, **options: object) -> Settings:
        return load_settings(options, environment=self.environment, folder=self.project)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_defaults_hold_where_nobody_says_anything(desk: Desk) -> None:
    settings = desk.load()
    assert settings.get("provider") == "vast"
    assert settings.get("budget") == Decimal("2.00")
    assert settings.get("deadline") == 86_400
    assert settings.get("gpu") is None
    assert settings.origin("provider") == "default"
    assert settings.get("max_price") == Decimal("0.60")
    assert settings.origin("max_price") == "preset balanced"


def test_the_nearer_place_wins(desk: Desk) -> None:
    def budget() -> tuple[object, str]:
        settings = desk.load()
        return settings.get("budget"), settings.origin("budget")

    desk.write_user("budget = 3")
    assert budget() == (Decimal(3), str(desk.home / "framehaul" / "config.toml"))
    desk.write_project("budget = '4.50'")
    assert budget() == (Decimal("4.50"), str(desk.project / "framehaul.toml"))
    desk.environment["FRAMEHAUL_BUDGET"] = "5"
    assert budget() == (Decimal(5), "FRAMEHAUL_BUDGET")
    settings = desk.load(budget="6")
    assert (settings.get("budget"), settings.origin("budget")) == (Decimal(6), "--budget")


def test_a_preset_never_raises_a_limit_that_somebody_set(desk: Desk) -> None:
    desk.write_project("max_price = 0.30")
    settings = desk.load(machine_preset="high")
    assert settings.get("max_price") == Decimal("0.3")
    assert settings.get("min_vram") == 24


def test_a_preset_of_ones_own(desk: Desk) -> None:
    desk.write_user("[presets.mine]\nsummary = 'Mine.'\nmax_price = 0.11\ngpu = ['RTX 3060', 'RTX 3070']")
    settings = desk.load(machine_preset="mine")
    assert settings.get("gpu") == ("RTX 3060", "RTX 3070")
    assert settings.origin("max_price") == "preset mine"


def test_shipped_presets_rise_in_price(desk: Desk) -> None:
    assert set(preset_names()) == {"low", "balanced", "high"}
    prices = [desk.load(machine_preset=name).get("max_price") for name in ("low", "balanced", "high")]
    assert prices == sorted(prices)


def test_lists_are_read_with_commas_from_text(desk: Desk) -> None:
    desk.environment["FRAMEHAUL_GPU"] = "RTX 4090, RTX 5090"
    desk.environment["FRAMEHAUL_EXCLUDE_MACHINE"] = "12,13"
    settings = desk.load()
    assert settings.get("gpu") == ("RTX 4090", "RTX 5090")
    assert settings.get("exclude_machine") == (12, 13)
    assert desk.load(gpu=["L4", "L40,A10"]).get("gpu") == ("L4", "L40", "A10")


def test_the_project_file_is_found_from_below_and_not_from_beside(desk: Desk, tmp_path: Path) -> None:
    desk.write_project("disk = 20")
    below = desk.project / "reels" / "one"
    below.mkdir(parents=True)
    assert load_settings(environment=desk.environment, folder=below).get("disk") == 20
    (tmp_path / "framehaul.toml").write_text("disk = 99")
    beside = tmp_path / "elsewhere"
    beside.mkdir()
    assert load_settings(environment=desk.environment, folder=beside).get("disk") == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budgte = 3", "unknown setting 'budgte'; did you mean 'budget'?"),
        ("budget = -1", "budget -1: must be dollars, more than 0"),
        ("budget = 'much'", "must be dollars"),
        ("provider = 'aws'", "must be vast or local"),
        ("verified = 'perhaps'", "must be true or false"),
        ("deadline = 'soon'", "must be a length of time"),
        ("min_reliability = 2", "must be a number of 0 or more, at most 1"),
        ("segment_s = 90", "at most 60"),
        ("vast_api_key = 'abc'", "is a secret and stays out of files"),
        ("image_login = '-u a -p b c'", "set FRAMEHAUL_IMAGE_LOGIN"),
        ("presets = 3", "must be tables"),
        ("[presets.x]\nmachine_preset = 'low'", "cannot be set by a preset"),
        ("[presets.x]\nmax_price = 'free'", "preset x"),
        ("machine_preset = 'larg'", "unknown machine preset"),
        ("budget = ", "is no TOML"),
        ("remote_url = 'http://host/x'", "must begin with https://"),
        ("remote_url = 'file:///etc/passwd'", "must begin with https://"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file(desk: Desk, text: str, message: str) -> None:
    desk.write_project(text)
    with pytest.raises(UsageError) as caught:
        desk.load()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_wrong_variable_and_option_are_named(desk: Desk) -> None:
    desk.environment["FRAMEHAUL_BUDGET"] = "x"
    with pytest.raises(UsageError, match="FRAMEHAUL_BUDGET: budget x: must be dollars"):
        desk.load()
    del desk.environment["FRAMEHAUL_BUDGET"]
    with pytest.raises(UsageError, match="--min-vram: min_vram x: must be a number"):
        desk.load(min_vram="x")


def test_every_setting_can_be_written_as_its_default(desk: Desk) -> None:
    for setting in SETTINGS:
        assert allowed(setting)
        if setting.default is not None:
            desk.environment[setting.variable] = setting.default
    settings = desk.load()
    assert all(settings.origin(one.name) == one.variable for one in SETTINGS if one.default is not None)


def test_every_requirement_exists_and_has_its_type() -> None:
    from runner.spec import Requirements

    fields = set(Requirements.model_fields)
    assert {one.requirement for one in SETTINGS if one.requirement} == fields
    assert all(one.choices for one in SETTINGS if one.kind is Kind.CHOICE)


# .env


def test_dotenv_is_read_and_never_replaces_what_is_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        '# keys\nexport VAST_API_KEY=\'a b\'\nFRAMEHAUL_BUDGET=3 # dollars\nB2_APPLICATION_KEY="q\\"x"\nPATH=/b\nX=1\n'
    )
    environment = {"FRAMEHAUL_BUDGET": "1"}
    taken = load_dotenv(tmp_path, environment)
    assert environment == {"FRAMEHAUL_BUDGET": "1", "VAST_API_KEY": "a b", "B2_APPLICATION_KEY": 'q"x'}
    assert set(taken) == {"VAST_API_KEY", "B2_APPLICATION_KEY"}
    assert load_dotenv(tmp_path / "none", {}) == ()


def test_dotenv_cannot_send_a_key_elsewhere(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VAST_URL=https://evil.example\nB2_ENDPOINT=https://evil.example\n")
    environment = {"VAST_API_KEY": "mine"}
    assert load_dotenv(tmp_path, environment) == ()
    (tmp_path / ".env").write_text("VAST_URL=https://other.example\nVAST_API_KEY=theirs\n")
    environment = {"VAST_API_KEY": "mine"}
    load_dotenv(tmp_path, environment)
    assert environment == {"VAST_API_KEY": "mine"}


@pytest.mark.parametrize("line", ["VAST_API_KEY", "B2_REGION='open", 'FRAMEHAUL_GPU="x" y'])
def test_a_wrong_line_of_ours_is_named_and_not_shown(line: str) -> None:
    with pytest.raises(UsageError, match="line 2") as caught:
        read_dotenv(f"OK=1\n{line}\n", where=".env")
    assert "open" not in str(caught.value)


def test_lines_of_other_programs_may_be_anything() -> None:
    text = "-----BEGIN\nNAME\n1X=2\nTEXT='open\nmore'\nVAST_API_KEY=a\n"
    assert read_dotenv(text, where=".env") == {"VAST_API_KEY": "a"}


def test_reading_twice_is_reading_once(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("VAST_API_KEY=k\nVAST_URL=https://own.example\n")
    environment: dict[str, str] = {}
    assert load_dotenv(tmp_path, environment) == load_dotenv(tmp_path, environment) == ("VAST_API_KEY", "VAST_URL")


@given(st.text(st.characters(blacklist_characters="'\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", codec="utf-8")))
def test_what_is_quoted_comes_back(value: str) -> None:
    assert read_dotenv(f"B2_APPLICATION_KEY='{value}'", where=".env") == {"B2_APPLICATION_KEY": value}


# A remote address


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    body: ClassVar[bytes] = b""
    status: ClassVar[int] = 200


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        self.send_response(self.server.status)
        self.send_header("Location", "https://localhost/elsewhere")
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True, timeout=60)
    return path


@pytest.fixture
def remote(certificate: Path, desk: Desk) -> Iterator[_Server]:
    server = _Server(("127.0.0.1", 0), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.crt", certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    desk.environment |= {
        "FRAMEHAUL_REMOTE_URL": f"https://localhost:{server.server_port}/team.toml?token=s3cret",
        "REQUESTS_CA_BUNDLE": f"{certificate}.crt",
    }
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("body", [b"budget = 7\ndisk = 33", b'{"budget": 7, "disk": 33}'])
def test_remote_settings_lie_between_files_and_defaults(desk: Desk, remote: _Server, body: bytes) -> None:
    remote.body = body  # type: ignore[misc]
    desk.write_user("budget = 3")
    settings = desk.load()
    assert settings.get("budget") == 3
    assert settings.get("disk") == 33
    assert settings.origin("disk") == "https://localhost/team.toml"


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (404, b"", "answered 404"),
        (302, b"", "answered 302"),
        (200, b"#" * (1 << 19), "KiB"),
        (200, b"budgte = 1", "unknown setting"),
        (200, b"remote_url = 'https://x/'", "cannot be set there"),
        (200, b"vast_api_key = 'x'", "is a secret"),
        (200, b"{", "neither TOML nor JSON"),
    ],
)
def test_remote_settings_that_are_wrong(desk: Desk, remote: _Server, status: int, body: bytes, message: str) -> None:
    remote.status, remote.body = status, body  # type: ignore[misc]
    with pytest.raises(UsageError, match=message) as caught:
        desk.load()
    assert "s3cret" not in str(caught.value)


def test_a_server_that_proves_nothing_is_not_believed(desk: Desk, remote: _Server) -> None:
    remote.body = b"budget = 7"  # type: ignore[misc]
    del desk.environment["REQUESTS_CA_BUNDLE"]
    with pytest.raises(UsageError, match="cannot be read"):
        desk.load()


def test_secrets_are_only_ever_said_to_be_set() -> None:
    told = secrets_set({"VAST_API_KEY": "hush"})
    assert told == {one.variable: one.variable == "VAST_API_KEY" for one in SECRETS}
