from datetime import timedelta

import pytest

from jobs.reconcile_settings import load as load_reconciliation
from jobs.setting_sources import SettingsError
from jobs.settings import load, sasl_password
from local.published import BY_COUNTRY, JobTopics


def test_a_setting_is_taken_from_arguments_then_environment_then_file(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "rest.port: 8081\nclickproof:\n  buckets: 8\n  parallelism: 3\n  out-of-orderness: 1 s\n"
    )
    environment = {"FLINK_CONF_DIR": str(tmp_path), "CLICKPROOF_PARALLELISM": "4", "CLICKPROOF_OUT_OF_ORDERNESS": "2 s"}
    settings = load(["--out-of-orderness", "250 ms", "--bounded"], environment)
    assert (settings.buckets, settings.parallelism) == (8, 4)
    assert settings.out_of_orderness == timedelta(milliseconds=250)
    assert settings.bounded


def test_without_any_source_the_defaults_hold():
    assert load([], {}).dedupe_horizon == timedelta(minutes=10)


def test_dimensions_are_a_list_in_the_file_and_parted_by_commas_elsewhere(tmp_path):
    (tmp_path / "config.yaml").write_text("clickproof:\n  dimensions: [country]\n")
    assert load([], {"FLINK_CONF_DIR": str(tmp_path)}).by_country
    assert load(["--dimensions", " country, country"], {}).by_country
    assert not load([], {"CLICKPROOF_DIMENSIONS": ""}).by_country
    assert not load([], {}).by_country


def test_the_topic_of_a_dimension_is_needed_only_with_it():
    assert "country_topic" in load(["--dimensions", "country"], {}).topic_settings
    assert "country_topic" not in load(["--country-topic", "clicks"], {}).topic_settings


def test_the_local_stack_has_variables_of_its_own():
    assert load([], {"CLICKPROOF_LOCAL_HOME": "/x"}) == load([], {})


def test_the_local_stack_reads_and_writes_the_topics_of_the_defaults():
    settings = load([], {})
    topics = JobTopics(country=BY_COUNTRY)
    assert {name: getattr(settings, f"{name}_topic") for name in topics._fields} == topics._asdict()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--dedupe-horizon", "30 s"], "dedupe_horizon"),
        (["--dedupe-horizon", "90 s"], "dedupe_horizon"),
        (["--transaction-timeout", "10 s"], "transaction_timeout"),
        (["--idle-timeout", "5 s"], "idle_timeout"),
        (["--buckets", "1"], "buckets"),
        (["--window", "0 s"], "window"),
        (["--window", "a while"], "window"),
        (["--parallelism", "none"], "parallelism"),
        (["--late-topic", "clicks"], "clicks_topic"),
        (["--clicks-topic", "no spaces"], "clicks_topic"),
        (["--dimensions", "browser"], "dimensions"),
        (["--dimensions", "country,browser"], "dimensions"),
        (["--dimensions"], "dimensions"),
        (["--dimensions", "country", "--country-topic", "clicks"], "clicks_topic"),
        (["--colour", "red"], "colour"),
        (["stray"], "stray"),
        (["--sasl-password", "x"], "sasl_password"),
        (["--security-protocol", "SASL_SSL"], "sasl_mechanism"),
        (["--security-protocol", "SASL_SSL", "--sasl-mechanism", "PLAIN"], "sasl_username"),
        (["--sasl-mechanism", "PLAIN"], "sasl_mechanism"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence_that_names_it(arguments, name):
    with pytest.raises(SettingsError) as refused:
        load(arguments, {})
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)


def test_an_unknown_environment_variable_is_refused():
    with pytest.raises(SettingsError, match="colour"):
        load([], {"CLICKPROOF_COLOUR": "red"})


SASL = ["--security-protocol", "SASL_SSL", "--sasl-mechanism", "PLAIN", "--sasl-username", "u"]


def test_a_secret_comes_from_the_environment_or_a_mounted_file(tmp_path):
    (tmp_path / "secret").write_text("from a file\n")
    assert sasl_password(load(SASL, {"CLICKPROOF_SASL_PASSWORD": "s3cret"})) == "s3cret"
    assert sasl_password(load([*SASL, "--sasl-password-file", str(tmp_path / "secret")], {})) == "from a file"
    with pytest.raises(SettingsError, match="sasl_password_file"):
        load([*SASL, "--sasl-password-file", "/nowhere"], {})


def test_a_secret_is_not_printed():
    assert "s3cret" not in repr(load(SASL, {"CLICKPROOF_SASL_PASSWORD": "s3cret"}))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "results"),
        (["--results", "out"], "results"),
        (["--results", "file:/out", "--span-from", "60001"], "span_from"),
        (["--results", "file:/out", "--span-from", "120000", "--span-to", "60000"], "span_to"),
        (["--results", "file:/out", "--source", "memory"], "source"),
    ],
)
def test_a_reconciliation_that_cannot_be_is_refused_with_one_sentence_that_names_the_setting(arguments, name):
    with pytest.raises(SettingsError, match=f"^{name}: [^\n]+$"):
        load_reconciliation(arguments, {})


def test_a_reconciliation_reads_from_before_its_span_as_far_as_skew_and_horizon_reach():
    settings = load_reconciliation(["--results", "file:/out", "--span-from", "3600000", "--span-to", "7200000"], {})
    assert settings.read_since == 3_600_000 - 5 * 60_000 - 10 * 60_000
