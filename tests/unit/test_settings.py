import json
from pathlib import Path

import pytest

from worker.settings import Settings, SettingsError, load, postgres_url, redis_parts

PASSWORD = "p@ss/w#rd?%"
ENCODED = "p%40ss%2Fw%23rd%3F%25"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"COLLECTOR_{field.upper()}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)


def test_a_url_that_is_missing_is_asked_for_by_the_name_of_its_variable() -> None:
    settings = load()
    with pytest.raises(SettingsError, match="COLLECTOR_DATABASE_URL is not set: "):
        settings.worker_postgres()
    with pytest.raises(SettingsError, match="COLLECTOR_OWNER_DATABASE_URL is not set: "):
        settings.owner_postgres()
    with pytest.raises(SettingsError, match="COLLECTOR_REDIS_URL is not set: "):
        settings.redis()


def test_settings_come_from_the_environment_and_what_is_passed_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_MAX_JOBS", "7")
    monkeypatch.setenv("COLLECTOR_POOL_SIZE", "8")
    monkeypatch.setenv("COLLECTOR_LOG_LEVEL", "debug")
    settings = load(pool_size=9)
    assert (settings.max_jobs, settings.pool_size, settings.log_level) == (7, 9, "DEBUG")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """compose.yaml writes `${COLLECTOR_CA_FILE:-}`."""
    monkeypatch.setenv("COLLECTOR_CA_FILE", "")
    assert load().ca_file is None


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().max_jobs = 3  # type: ignore[misc]


def test_there_are_few_settings() -> None:
    assert len(Settings.model_fields) <= 28


def test_no_password_is_in_the_repr() -> None:
    settings = load(
        database_url=f"postgresql://u:{ENCODED}@db/collector",
        owner_database_url=f"postgresql://o:{ENCODED}@db/collector",
        redis_url=f"redis://:{ENCODED}@cache",
    )
    shown = repr(settings) + str(settings) + repr(settings.redis())
    assert ENCODED not in shown
    assert PASSWORD not in shown


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("DATABASE_URL", "mysql://u:hidden@h/d", "must begin with postgresql://"),
        ("DATABASE_URL", "postgresql://u:hidden@/d", "must name a host"),
        ("DATABASE_URL", "postgresql://u:hidden@h", "must name one database"),
        ("DATABASE_URL", "postgresql://u:hidden@h/d?sslmod=require", "has an unknown parameter"),
        ("DATABASE_URL", "postgresql://u:hidden@h/d?sslmode=maybe", "has an unknown sslmode"),
        ("DATABASE_URL", "postgresql://u:hid/den@h/d", "is not a URL"),
        ("DATABASE_URL", "postgresql://u:hid#den@h/d", "is not a URL"),
        ("OWNER_DATABASE_URL", "postgresql://u:hidden@h:port/d", "is not a URL"),
        ("REDIS_URL", "http://:hidden@h/0", "must begin with redis://"),
        ("REDIS_URL", "redis://:hidden@h/first", "must name the database by a number"),
        ("REDIS_URL", "redis://:hidden@h/0?timeout=5", "has an unknown parameter"),
        ("REDIS_URL", "redis://:hid?den@h/0", "is not a URL"),
        ("REDIS_URL", "redis:///0", "must name a host"),
        ("REDIS_URL", "unix://host/socket", "must hold the absolute path of a socket"),
        ("MAX_JOBS", "0", "greater than or equal to 1"),
        ("RATE_SCALE", "0", "greater than 0"),
        ("RATE_SCALE", "nan", "finite number"),
        ("PARTITIONS_AHEAD", "13", "less than or equal to 12"),
        ("LOG_FORMAT", "xml", "'auto', 'json' or 'console'"),
        ("CA_FILE", "/there/is/none", "names a file that does not exist"),
        ("HOSTS", "not json", "must be a JSON object"),
        ("HOSTS", '{"Api.example.com": "https://127.0.0.1"}', "not a host name in small letters"),
        ("HOSTS", '{"api.example.com": "http://127.0.0.1"}', "begins with https://"),
        ("HOSTS", '{"api.example.com": "https://u:hidden@127.0.0.1"}', "without user, password"),
    ],
)
def test_a_wrong_value_is_refused_in_a_sentence_that_names_the_variable_and_hides_the_password(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, complaint: str
) -> None:
    monkeypatch.setenv(f"COLLECTOR_{variable}", value)
    with pytest.raises(SettingsError, match=complaint) as refusal:
        load()
    sentence = str(refusal.value)
    assert sentence.startswith(f"COLLECTOR_{variable} ")
    assert "\n" not in sentence
    assert "hid" not in sentence
    assert "den" not in sentence
    assert refusal.value.__suppress_context__


def test_an_override_that_is_not_a_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="COLLECTOR_MAX_JOB "):
        load(max_job=1)


def test_a_password_of_redis_is_percent_decoded() -> None:
    """The from_dsn of arq does not."""
    address = redis_parts(f"rediss://collector:{ENCODED}@cache.example:6380/3")
    assert (address.host, address.port, address.database) == ("cache.example", 6380, 3)
    assert (address.username, address.password, address.tls) == ("collector", PASSWORD, True)


def test_redis_may_be_a_socket() -> None:
    address = redis_parts("unix://:secret@/run/valkey%201.sock?db=2")
    assert (address.unix_path, address.database, address.password) == ("/run/valkey 1.sock", 2, "secret")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_each_spelling_of_postgresql_becomes_the_one_that_the_engine_takes(scheme: str) -> None:
    given = f"{scheme}://u:{ENCODED}@h:5433/collector?sslmode=verify-full"
    assert postgres_url(given) == f"postgresql://u:{ENCODED}@h:5433/collector?ssl=verify-full"


def test_hosts_are_read_from_json_and_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLLECTOR_HOSTS", json.dumps({"api.example.com": "https://127.0.0.1:8443/"}))
    hosts = load().hosts
    assert hosts == {"api.example.com": "https://127.0.0.1:8443"}
    with pytest.raises(TypeError):
        hosts["other.example.com"] = "https://127.0.0.1"  # type: ignore[index]


@pytest.mark.parametrize("url", ["http://ip.example", "ip.example", "https://", f"https://u:{ENCODED}@ip.example"])
def test_the_teller_of_addresses_is_an_https_url_without_a_password(url: str) -> None:
    with pytest.raises(SettingsError, match="COLLECTOR_EGRESS_URL must begin with https://") as caught:
        load(egress_url=url)
    assert ENCODED not in str(caught.value)
    assert load(egress_url="https://ip.example/plain").egress_url == "https://ip.example/plain"


def test_home_follows_xdg_and_bears_an_empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert load().home == tmp_path / ".local/share/bronze-collector"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert load().home == tmp_path / "data/bronze-collector"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", "")
    assert load().home.is_absolute()
    monkeypatch.setenv("COLLECTOR_HOME", "~/here")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load().home == tmp_path / "here"


def test_where_a_worker_answers_and_where_traces_go_are_checked() -> None:
    assert load().http_address is None
    assert load().otel_url is None
    assert str(load(http_address="0.0.0.0:9464").http_address) == "0.0.0.0:9464"
    with pytest.raises(SettingsError, match=r"^COLLECTOR_HTTP_ADDRESS must be a port or an address with one, as in"):
        load(http_address="http://here")
    with pytest.raises(SettingsError, match=r"^COLLECTOR_OTEL_URL must begin with http:// or https://") as refused:
        load(otel_url=f"https://user:{ENCODED}@otel/v1/traces")
    assert ENCODED not in str(refused.value)
