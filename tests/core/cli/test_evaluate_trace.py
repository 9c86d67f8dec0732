"""The command `python -m core evaluate trace`."""

from tests.helpers.traced_answers import COPIED_TURN, evaluation_of, run_on, training_rows


def test_trace_prints_the_comparison_and_the_longest_spans(run_command, home, tmp_path, small_tokenizer):
    store, run = run_on(home, tmp_path, small_tokenizer, training_rows(), held_out_share=0)
    evaluation = evaluation_of(store, ["base", run.id], [["No.", "Never."], [COPIED_TURN, "\x1b[31mRed"]])
    code, out, err = run_command("evaluate", "trace", evaluation.id)
    assert code == 0, err
    assert "share copied from the training rows rose from 0.0% to 50.0%" in out
    assert f"row 7, prompt 0, tuned: {COPIED_TURN}" in out
    # The second time nothing is computed, so nothing is reported.
    assert run_command("evaluate", "trace", evaluation.id)[:2] == (0, out)
    code, _, err = run_command("evaluate", "trace", evaluation.id, "--judged", "other")
    assert code == 2
    assert "The evaluation has no model 'other'" in err
