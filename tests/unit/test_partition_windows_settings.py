import pytest

from jobs.partition_windows_settings import load
from jobs.setting_sources import SettingsError
from jobs.settings import load as load_clicks


def test_the_window_job_has_a_section_and_variables_of_its_own(tmp_path):
    (tmp_path / "config.yaml").write_text("clickproof:\n  dedupe-horizon: 1 h\npartition-windows:\n  buckets: 8\n")
    environment = {"FLINK_CONF_DIR": str(tmp_path), "PARTITION_WINDOWS_PARALLELISM": "4", "CLICKPROOF_TOP_ADS": "7"}
    settings = load(["--max-pending-bytes", "1000"], environment)
    assert (settings.buckets, settings.parallelism, settings.max_pending_bytes) == (8, 4, 1000)
    assert load_clicks([], environment).top_ads == 7


def test_no_partition_is_ever_idle_by_default():
    assert load([], {}).idle_timeout is None


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["--windows-topic", "window-events"], "events_topic"),
        (["--buckets", "1"], "buckets"),
        (["--transaction-timeout", "10 s"], "transaction_timeout"),
        (["--max-pending-bytes", "0"], "max_pending_bytes"),
        (["--idle-timeout", "0 s"], "idle_timeout"),
        (["--dedupe-horizon", "1 h"], "dedupe_horizon"),
    ],
)
def test_a_bad_setting_of_the_window_job_is_refused_in_one_sentence_that_names_it(arguments, name):
    with pytest.raises(SettingsError) as refused:
        load(arguments, {})
    assert str(refused.value).startswith(f"{name}: ")
    assert "\n" not in str(refused.value)
