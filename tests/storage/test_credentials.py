"""Keys are found in one order, checked before use, and never shown."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from storage.credentials import Credentials, config_path, find_credentials, make_credentials
from storage.errors import CredentialsError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.storage.server import Server

B2 = {"B2_APPLICATION_KEY_ID": "004abcdef", "B2_APPLICATION_KEY": "K004b2secret", "B2_REGION": "us-west-004"}
AWS = {"AWS_ACCESS_KEY_ID": "AKIAaws", "AWS_SECRET_ACCESS_KEY": "awssecret", "AWS_REGION": "eu-central-1"}


@pytest.fixture
def file(tmp_path: Path) -> dict[str, str]:
    """An environment whose configuration file has a key."""
    path = tmp_path / "storage.toml"
    path.write_text('[storage]\nkey_id = "filekey"\nkey = "filesecret"\nregion = "us-east-005"\n')
    path.chmod(0o600)
    return {"FRAMEHAUL_CONFIG": str(path)}


def test_b2_comes_before_aws_and_aws_before_the_file(file: dict[str, str]) -> None:
    assert find_credentials(environment=B2 | AWS | file).key_id == "004abcdef"
    assert find_credentials(environment=AWS | file).key_id == "AKIAaws"
    found = find_credentials(environment=file)
    assert (found.key_id, found.key, found.endpoint) == (
        "filekey",
        "filesecret",
        "https://s3.us-east-005.backblazeb2.com",
    )
    assert find_credentials("s3", environment=AWS).region == "eu-central-1"


def test_region_and_endpoint_of_b2_follow_from_each_other() -> None:
    found = find_credentials(environment=B2)
    assert (found.region, found.endpoint) == ("us-west-004", "https://s3.us-west-004.backblazeb2.com")
    without = {name: value for name, value in B2.items() if name != "B2_REGION"}
    for endpoint in ("s3.eu-central-003.backblazeb2.com", "https://s3.eu-central-003.backblazeb2.com/"):
        found = find_credentials(environment=without | {"B2_ENDPOINT": endpoint})
        assert (found.region, found.endpoint) == ("eu-central-003", "https://s3.eu-central-003.backblazeb2.com")


def test_the_location_comes_before_the_environment() -> None:
    found = find_credentials("s3", endpoint="http://127.0.0.1:9000", region="here", environment=B2)
    assert (found.region, found.endpoint) == ("here", "http://127.0.0.1:9000")


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "set B2_APPLICATION_KEY_ID, B2_APPLICATION_KEY and B2_REGION"),
        ({"B2_APPLICATION_KEY_ID": "004abc"}, "B2_APPLICATION_KEY is not set"),
        ({"B2_APPLICATION_KEY": "K004b2secret"}, "B2_APPLICATION_KEY_ID is not set"),
        ({"B2_APPLICATION_KEY_ID": "004abc", "B2_APPLICATION_KEY": "K004b2secret"}, "B2_REGION is not set"),
        (B2 | {"B2_APPLICATION_KEY": "K004 b2secret"}, "B2_APPLICATION_KEY has a space"),
        (B2 | {"B2_APPLICATION_KEY": "K004b2secret\n"}, "B2_APPLICATION_KEY has a space"),
        (B2 | {"B2_REGION": "US West"}, "B2_REGION is no region"),
        (B2 | {"B2_ENDPOINT": "ftp://x"}, "B2_ENDPOINT is no endpoint"),
        (B2 | {"B2_ENDPOINT": "s3.us-east-005.backblazeb2.com"}, "B2_REGION is us-west-004, but B2_ENDPOINT"),
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, "AWS_SECRET_ACCESS_KEY is not set"),
        ({"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "awssecret"}, "AWS_REGION is not set"),
    ],
)
def test_what_is_missing_or_malformed_is_named_and_not_shown(
    tmp_path: Path, environment: dict[str, str], named: str
) -> None:
    with pytest.raises(CredentialsError, match=named) as caught:
        find_credentials(environment=environment | {"XDG_CONFIG_HOME": str(tmp_path)})
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ('[storage]\nkey_id = "a"\nkey = "filesecret"\nregion = "r-1"\n', 0o644, "others may read it"),
        ('[storage]\nkey = "filesecret\n', 0o600, "is no TOML file"),
        ("[storage]\nkey = 5\n", 0o600, 'each as "text"'),
        ('[storage]\nkey_id = "a"\n', 0o600, "key is not set"),
    ],
)
def test_a_wrong_file_is_refused_without_its_content(tmp_path: Path, text: str, mode: int, said: str) -> None:
    path = tmp_path / "storage.toml"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(CredentialsError, match=said) as caught:
        find_credentials(environment={"FRAMEHAUL_CONFIG": str(path)})
    assert "filesecret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_file_has_one_place() -> None:
    assert str(config_path({"XDG_CONFIG_HOME": "/etc/x"})) == "/etc/x/framehaul/storage.toml"


def test_no_way_of_printing_shows_the_secret() -> None:
    made = make_credentials("004abcdefgh", "K004b2secret", region="us-west-004")
    for shown in (str(made), repr(made), f"{made}", f"{made!r}", repr([made])):
        assert "secret" not in shown
        assert "efgh" not in shown
        assert "s3.us-west-004.backblazeb2.com" in shown
    assert isinstance(made, Credentials)


def test_the_machines_own_roles_and_profiles_have_no_say(server: Server, bucket: str, tmp_path: Path) -> None:
    """Other tools' settings point elsewhere, to a profile that does not exist, to a role: none is looked at."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[default]\nregion = nowhere-1\nendpoint_url = http://127.0.0.1:9\n")
    (tmp_path / ".aws/credentials").write_text("[default]\naws_access_key_id = x\naws_secret_access_key = y\n")
    program = textwrap.dedent(f"""
        from storage.errors import CredentialsError
        from storage.place import place_of
        import storage
        try:
            place_of("b2://{bucket}/clip")
        except CredentialsError as error:
            print(error)
        import os
        os.environ |= {{"B2_APPLICATION_KEY_ID": "test:worker", "B2_APPLICATION_KEY": os.environ["GIVEN"],
                        "B2_ENDPOINT": "{server.url}", "B2_REGION": "us-west-004"}}
        with storage.open("b2://{bucket}/clip", "wb") as file:
            file.write(b"here")
        print(storage.stat("b2://{bucket}/clip").size_bytes)
    """)
    elsewhere = {
        "HOME": str(tmp_path),
        "AWS_PROFILE": "does-not-exist",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/role",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere",
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/x",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "B2_", "XDG_"))}
    environment = kept | elsewhere | {"GIVEN": server.credentials.key}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "4"
    assert "no key for b2://" in done.stdout
