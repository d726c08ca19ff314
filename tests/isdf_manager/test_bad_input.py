"""What the operator does wrong: exit status 1 or 2, one sentence that says what to do, and nothing changed."""

import os

import pytest

from isdf.errors import InvalidError
from isdf_manager import configuration, schema

NO_URL = "'database' is no URL such as postgresql+psycopg://isdf@/isdf"


@pytest.fixture
def home1(manager):
    manager.ok("device", "add", "home1")
    return manager


def test_unknown_device(manager):
    for words in (
        ("subscribe", "nobody", "lane", "--config", "rate=1mbit"), ("configure", "nobody", "lane", "rate=1mbit"),
        ("unsubscribe", "nobody", "lane"), ("push", "nobody"), ("device", "show", "nobody"),
        ("device", "remove", "nobody"), ("status", "nobody"),
        ("audit", "nobody"),
    ):  # fmt: skip
        assert manager.fails(*words) == (
            "device 'nobody' is not known; 'isdf-manager device list' names them, 'device add' makes one"
        )


def test_unknown_service(home1):
    assert home1.fails("subscribe", "home1", "slow") == "service 'slow' is not published; published are lane"
    assert "home1 does not have 'slow'" in home1.fails("configure", "home1", "slow", "rate=1mbit")
    assert "home1 does not have 'lane'" in home1.fails("unsubscribe", "home1", "lane")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "'rate' is missing: it takes a rate such as '200kBps' or '1600kbit'"),
        (["rate=fast"], "'rate': rate 'fast' is not a number of bit/s or text such as '1600kbit' or '200kBps'"),
        (["rate=0"], "'rate': rate '0' is outside 8 kbit/s to 100 Gbit/s"),
        (["rate=1mbit", "colour=red"], "the configuration has no key 'colour'; it has rate, sites, night"),
        (["rate=1mbit", "sites=b..c"],
         "'sites[0]': host 'b..c' is not a domain name such as 'tv.example' or '*.tv.example'"),
        (["rate=1mbit", "sites=a,b,c,d,e"], "'sites' has 5 items; it takes a list (each a domain name) with at most 4"),
        (["rate=1mbit", "night.limit=many"], "'night.limit' is 'many'; it takes a whole number from 1"),
        (["rate=1mbit", "night.limit=0"], "'night.limit' is 0; it takes a whole number from 1"),
        (["rate=1mbit", "night=late"], "'night' is 'late'; it takes a table"),
        (["rate=1mbit", "rate.inner=2"], "'rate.inner' is inside 'rate', which is no table"),
        (["rate"], "'rate' is not of the form key=value"),
        (["rate=1mbit", "sites=[a"], "'sites' is '[a', which cannot be read; put text such as dates into quotes"),
        (["rate=1mbit", "night.limit=2026-01-01"],
         "'night.limit' is '2026-01-01', which cannot be read; put text such as dates into quotes"),
    ],
)  # fmt: skip
def test_configuration_against_the_schema(home1, words, sentence):
    options = ["--config", *words] if words else []
    assert home1.fails("subscribe", "home1", "lane", *options, status=2) == sentence
    assert '"services": []' in home1.ok("status", "--json")


def test_configure_against_the_schema_leaves_what_is_sold(home1):
    home1.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    assert "'rate' is missing" in home1.fails("configure", "home1", "lane", "rate=", status=2)
    assert '"rate": "1mbit"' in home1.ok("status", "--json")


def test_the_same_version_with_other_content(manager):
    folder = manager.service()
    assert "is published already, with the same content" in manager.ok("publish", folder)
    (folder / "service.py").write_text("print('other')\n")
    assert manager.fails("publish", folder) == (
        "lane 1.0.0 is published already with other content; raise 'version' in service.yaml"
    )
    manager.ok("publish", manager.service(version="1.1.0_rc1"))
    assert "is below 1.1.0_rc1" in manager.fails("publish", manager.service(version="1.0.9"))
    manager.ok("publish", manager.service(version="1.1.0"))


def test_a_folder_that_is_no_service(manager, tmp_path):
    assert "is no folder; give the folder of a service" in manager.fails("publish", tmp_path / "none", status=2)
    (tmp_path / "empty").mkdir()
    assert manager.fails("publish", tmp_path / "empty", status=2).endswith("is no service: it has no service.yaml")
    (tmp_path / "empty" / "service.yaml").write_text("name: x\n")
    assert manager.fails("publish", tmp_path / "empty", status=2).endswith("is no service: it has no service.py")


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (
            "name: lane",
            "name: Lane!",
            "'name': service 'Lane!' is not 1 to 27 of a-z, 0-9 and '-' that begin with a letter",
        ),
        ("name: lane", "title2: lane", "it has no key 'title2'; it has name, version, title"),
        ("name: lane\n", "", "'name' is missing: it takes text"),
        ('"1.0.0"', "1.0", "'version' is the number 1.0; put it into quotes: \"1.0.0\""),
        ('"1.0.0"', '"1.0-rc1"', "'version' is '1.0-rc1'; it takes a form such as '1.2.3' or '1.2.3_rc1'"),
        ("add_class:", "add_everything:", "'may' has no key 'add_everything'; it has add_class, add_class_member"),
        ("{max: 1}", "{max: 0}", "'may.add_class.max' is 0; it takes a whole number from 1 and up to 100000"),
        ("{max: 1}", "{max: 1, rate: fast}", "'may.add_class.rate': rate 'fast' is not a number of bit/s"),
        ("type: object\n  add", "type: list\n  add", "'configuration'.type is no JSON Schema"),
        ("type: object\n  add", "type: array\n  add", "'configuration' describes no table of named values"),
        ("format: rate", "format: rat", "'configuration'.properties.rate has the format 'rat', which nothing"),
        ("format: host", "format: hostname", "'configuration'.properties.sites.items has the format 'hostname'"),
        (
            "format: rate",
            "format: rate, default: fast",
            "'configuration'.properties.rate does not take its own default: it: rate 'fast' is not a number of bit/s",
        ),
        (
            "minimum: 1",
            "minimum: 1, default: 0",
            "'configuration'.properties.night.properties.limit does not take its own default: it is 0; it takes",
        ),
        ("name: lane", "name: lane\nname: other", "is not YAML in line 2: key 'name' is there twice"),
        ("name: lane", "name: [lane", "is not YAML in line"),
        (
            "name: lane",
            "name: !!python/object:os.system lane",
            "is not YAML in line 1: could not determine a constructor",
        ),
        ("title: Fast lane", "title: 2026-01-01", "has a value that JSON cannot hold"),
        ("title: Fast lane", "title: Fast\\nlane", ""),
    ],
)
def test_a_service_yaml_that_is_wrong(manager, before, after, sentence):
    folder = manager.service("other")
    text = manager.service("lane").joinpath("service.yaml").read_text()
    assert before in text
    (folder / "service.yaml").write_text(text.replace(before, after).replace("name: lane", "name: other"))
    if not sentence:
        manager.ok("publish", folder)
        return
    said = manager.fails("publish", folder, status=2)
    assert said.startswith(f"{folder}/service.yaml: ")
    assert sentence.replace("lane'", "lane'") in said.replace("'other'", "'lane'")


@pytest.mark.parametrize(
    "part",
    [
        {"anyOf": [{"type": "null"}, {"format": "uri"}]},
        {"not": {"format": "uri"}},
        {"patternProperties": {"^x": {"format": "uri"}}},
        {"additionalProperties": {"format": "uri"}},
    ],
)
def test_a_format_that_nothing_checks_is_found_wherever_it_is(part):
    with pytest.raises(InvalidError, match="has the format 'uri', which nothing checks"):
        schema.check_schema({"type": "object", "properties": {"x": part}}, "'configuration'")


def test_a_key_may_have_the_name_of_a_keyword():
    described = {"format": {"type": "string", "enum": ["uri"]}, "default": {"type": "integer"}, "any": True}
    schema.check_schema({"type": "object", "properties": described}, "'configuration'")


def test_a_service_with_files_that_no_router_takes(manager):
    folder = manager.service("other")
    (folder / "service.py").write_text("def broken(:\n")
    assert "service.py, line 1, is no Python" in manager.fails("publish", folder, status=2)
    (folder / "service.py").write_text("")
    os.symlink("/etc/passwd", folder / "link")
    assert "is a link or a device; a service has plain files alone" in manager.fails("publish", folder, status=2)
    (folder / "link").unlink()
    (folder / "data.bin").write_bytes(bytes(2 << 20))
    assert "or 1 MB; a service is small" in manager.fails("publish", folder, status=2)


def test_a_key_that_is_not_the_catalogue_key(manager):
    other = manager.path / "keys" / "assignment.sec"
    assert "is not the catalogue key of this manager" in manager.fails(
        "publish", manager.service(), "--key", other, status=2
    )
    assert "is not there; name its file" in manager.fails("publish", manager.service(), "--key", "/nowhere", status=2)
    assert "cannot be used" in manager.fails("publish", manager.service(), "--key", __file__, status=2)


def test_a_service_that_the_device_has(home1):
    home1.ok("subscribe", "home1", "lane", "--config", "rate=1mbit")
    said = home1.fails("subscribe", "home1", "lane", "--config", "rate=2mbit")
    assert said.startswith("home1 has lane already (order ")
    assert said.endswith("until cancelled); change it with 'configure' or end it with 'unsubscribe'")
    assert home1.fails("device", "remove", "home1") == (
        "home1 still has lane; end that first: isdf-manager unsubscribe home1 SERVICE"
    )


def test_times_that_cannot_be(home1):
    assert "is over already; give a later one" in home1.fails(
        "subscribe", "home1", "lane", "--config", "rate=1mbit", "--until", "@1000000", status=2
    )
    for words in (
        ("--for", "soon"),
        ("--for", "0s"),
        ("--until", "tomorrow"),
        ("--for", "1h", "--until", "@99999999999"),
        ("--until", "@99999999999999"),
        ("--until", "@99999999999999999999"),
        ("--until=@-99999999999999",),
    ):
        assert home1("subscribe", "home1", "lane", "--config", "rate=1mbit", *words) == 2
        assert "Traceback" not in home1.err
    home1.ok("subscribe", "home1", "lane", "--config", "rate=1mbit", "--until", "2100-01-01T00:00Z")
    assert "2100-01-01 00:00:00Z" in home1.ok("status")


def test_a_device_that_is_there_or_cannot_be(home1, tmp_path):
    assert "device 'home1' is there already" in home1.fails("device", "add", "home1")
    assert "is not 1 to 32 of" in home1.fails("device", "add", "Home/1", status=2)
    assert "--line lacks up" in home1.fails("device", "add", "home2", "--line", "down=8000", status=2)
    assert "--line has 'speed'" in home1.fails("device", "add", "home2", "--line", "speed=8000", status=2)
    assert "--line down=0: rate '0kbit' is outside 8 kbit/s" in home1.fails(
        "device", "add", "home2", "--line", "down=0,up=8", status=2
    )
    assert "base_down is more than" in home1.fails(
        "device", "add", "home2", "--line", "down=8,up=8,base_down=9", status=2
    )
    for word in ("colour=red", "pull_interval", "pull_interval=", "pull_interval= "):
        assert f"--set {word!r} is not" in home1.fails("device", "add", "home2", "--set", word, status=2)
    (tmp_path / "isdf").write_text("config\n")
    assert "is there already; move it away" in home1.fails(
        "device", "add", "home2", "--uci", tmp_path / "isdf", status=2
    )
    assert "cannot be made: No such file" in home1.fails(
        "device", "add", "home2", "--uci", tmp_path / "no/isdf", status=2
    )
    assert home1.ok("device", "list") == "home1\n"


@pytest.mark.parametrize(
    ("word", "takes"),
    [
        ("pull_interval=abc", "10 to 86400"),
        ("ready_timeout=0", "1 to 600"),
        ("push_port=70000", "1 to 65535"),
        ("mark_mask='", "a number of 32 bits such as 0xff000000"),
        ("dataplane=none", "'kernel' or 'memory'"),
    ],
)
def test_an_option_with_which_the_router_would_not_start(home1, tmp_path, word, takes):
    option, _, value = word.partition("=")
    said = home1.fails("device", "add", "home2", "--uci", tmp_path / "isdf", "--set", word, status=2)
    assert said == f"--set {option} is {value!r}; it takes {takes}"
    assert not (tmp_path / "isdf").exists()


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--wan", "eth0"), "--wan"),
        (("--lan", "br-lan"), "--lan"),
        (("--push-from", "192.0.2.1"), "--push-from"),
        (("--set", "push_port=9010", "--set", "pull_interval=60"), "--set pull_interval"),
    ],
)
def test_what_is_for_the_routers_file_is_refused_without_one(home1, words, option):
    for command in (("device", "add", "home2"), ("device", "replace", "home1")):
        assert home1.fails(*command, *words, status=2) == (
            f"{option} is for the file that --uci writes; add --uci FILE, or set it in the router's /etc/config/isdf"
        )
    assert home1.ok("device", "list") == "home1\n"
    assert "replace" not in home1.ok("audit")


def test_a_network_device_that_cannot_be(home1, tmp_path):
    for words in (("--wan", ""), ("--lan", "br lan"), ("--wan", "eth'0")):
        assert "take names of network devices" in home1.fails(
            "device", "add", "home2", "--uci", tmp_path / "isdf", *words, status=2
        )


def test_a_home_that_is_none_or_is_one_already(manager, tmp_path):
    said = manager.fails("init", status=2)
    assert said.endswith("is a manager's home already; choose another folder with --home")
    manager.path = tmp_path / "elsewhere"
    assert "is no manager's home; make it one with 'isdf-manager init'" in manager.fails("status", status=2)
    assert "url 'manager' is not an address" in manager.fails("init", "--url", "manager", status=2)
    assert not manager.path.exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("colour: red", "has the unknown key 'colour'"),
        ("provision: {lane: {command: 5}}", "provision.lane.command is not a list of texts"),
        ("provision: {lane: {url: 'https://core.example/'}}", "provision.lane.key is missing or short"),
        ("provision: {lane: {}}", "provision.lane needs either 'command' or 'url'"),
        ("provision: {lane: {command: x, timeout: 0}}", "provision.lane.timeout is 0"),
        ("trusted_proxies: [nobody]", "trusted_proxies has 'nobody'"),
        ("threads: many", "threads is 'many'"),
        ("a: [", "is not YAML in line 1"),
        ("provision: {lane: {command: x}}\nprovision: {film: {command: x}}", "key 'provision' is there twice"),
        ("provision: {lane: {command: x}, lane: {command: y}}", "key 'lane' is there twice"),
        ("- a", "is not a table"),
    ],
)
def test_a_manager_yaml_that_is_wrong(manager, text, sentence):
    (manager.path / "manager.yaml").write_text(text)
    said = manager.fails("status", status=2)
    assert said.startswith(f"{manager.path}/manager.yaml: ")
    assert sentence in said


@pytest.mark.parametrize("database", ["isdf:secret@core", 5])
def test_a_database_that_is_no_url(manager, database):
    manager.configure(database=database)
    said = manager.fails("status", status=2)
    assert said == NO_URL


def test_a_home_in_a_database_that_is_no_url(manager):
    manager.path = manager.folder / "second"
    assert manager.fails("init", "--database", "core", status=2) == NO_URL


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 20 + "]" * 20, "nests tables and lists deeper than a router's bus carries them"),
        ("18446744073709551616", "a number of more than 64 bits"),
        ('"a\\0"', "a text with a NUL character"),
    ],
)
def test_a_configuration_that_no_router_could_hand_to_the_service(text, words):
    for word in (f"x={text}", f"x.y={text}"):
        with pytest.raises(InvalidError, match=f"^the configuration .*{words}"):
            configuration.change({}, [word], {"type": "object"})


def test_a_home_without_its_database_or_its_keys(manager):
    (manager.path / "keys" / "assignment.sec").unlink()
    manager.ok("device", "add", "home1")
    assert "the assignment key" in manager.fails("push", "home1", status=2)
    (manager.path / "keys" / "statement").write_text("damaged")
    assert "the keys statement" in manager.fails("device", "add", "home2", status=2)
    (manager.path / "manager.db").unlink()
    assert "copy a backup to this place" in manager.fails("status", status=2)


def test_wrong_use_of_the_command_line(manager):
    for words in (
        (),
        ("audit", "--last", "-1"),
        ("audit", "--last", "0"),
        ("sell",),
        ("subscribe",),
        ("device",),
        ("configure", "home1", "lane"),
        ("status", "--colour"),
    ):
        assert manager(*words) == 2
        assert "usage: isdf-manager" in manager.err
    assert manager("--version") == 0
