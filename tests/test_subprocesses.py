import signal
import time

import pytest

from tests.subprocesses import run_python, start_python

pytestmark = pytest.mark.slow


def test_output_and_input_are_those_of_the_process():
    assert run_python("-c", "print(input()[::-1])", stdin="abc") == "cba\n"


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


def test_another_status_fails_with_the_output():
    with pytest.raises(pytest.fail.Exception, match=r"(?s)ended with 3, not 0.*ValueE"):
        run_python("-c", "print(ValueError); raise SystemExit(3)")


def test_a_condition_is_waited_for_and_a_signal_received():
    program = "import time; print('ready', flush=True); time.sleep(60)"
    with start_python("-c", program) as running:
        running.wait_for(lambda: "ready" in running.stdout, "ready")
        running.send_signal(signal.SIGTERM)
        running.finish(status=-signal.SIGTERM)


def test_a_process_that_ends_too_early_fails_the_wait():
    with (
        start_python("-c", "") as running,
        pytest.raises(pytest.fail.Exception, match="ended before ready"),
    ):
        running.wait_for(lambda: False, "ready")
