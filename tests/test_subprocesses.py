import signal
import time

import pytest

from tests.subprocesses import finish_all, run_python, start_python


@pytest.mark.slow
def test_output_and_input_are_those_of_the_process():
    assert run_python("-c", "print(input()[::-1])", stdin="abc") == "cba\n"


@pytest.mark.slow
def test_exceeding_the_limit_fails_with_command_seconds_and_output():
    program = "import time; print('begun', flush=True); time.sleep(60)"
    start = time.monotonic()
    with pytest.raises(pytest.fail.Exception) as failure:
        run_python("-c", program, limit=1.5)
    assert time.monotonic() - start < 30
    text = str(failure.value)
    assert "not ended after 1.5 s" in text
    assert program in text
    assert "begun" in text


@pytest.mark.slow
def test_another_status_fails_with_the_output():
    with pytest.raises(pytest.fail.Exception, match=r"(?s)ended with 3, not 0.*ValueE"):
        run_python("-c", "print(ValueError); raise SystemExit(3)")


@pytest.mark.slow
def test_a_condition_is_waited_for_and_a_signal_received():
    program = "import time; print('ready', flush=True); time.sleep(60)"
    with start_python("-c", program) as running:
        running.wait_for(lambda: "ready" in running.stdout, "ready")
        running.send_signal(signal.SIGTERM)
        running.finish(status=-signal.SIGTERM)


@pytest.mark.slow
def test_a_process_that_ends_too_early_fails_the_wait():
    with (
        start_python("-c", "") as running,
        pytest.raises(pytest.fail.Exception, match="ended before ready"),
    ):
        running.wait_for(lambda: False, "ready")


def test_a_test_that_is_not_marked_as_slow_starts_no_process():
    with pytest.raises(pytest.fail.Exception, match="must be marked `slow`"):
        run_python("-c", "")


@pytest.mark.slow
def test_all_outputs_are_shown_where_one_of_several_processes_fails():
    with (
        start_python("-c", "raise SystemExit(3)") as failing,
        start_python("-c", "print('other')") as other,
    ):
        other.finish()
        with pytest.raises(pytest.fail.Exception, match=r"(?s)ended with 3.*\nother"):
            finish_all([failing, other])
