"""Sessions on which an independent judge, whose servers share no code with the model, found a wrong cause or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from playground.prefix_cache.cache_profile import CacheProfile
from playground.prefix_cache.miss_explanation import MissExplanation
from playground.prefix_cache.miss_sentences import CandidateCode, Reason
from playground.prefix_cache.replay import replay_traffic
from playground.prefix_cache.traffic import read_traffic
from tests.prefix_cache.test_miss_sentences import CLEARING

CASES = Path(__file__).parents[1] / "data" / "judged_cases"


def explained(name: str, row: int = -1) -> MissExplanation | None:
    """Replay a session and return the explanation of one of its requests, by default the last."""
    return list(replay_traffic(read_traffic(CASES / f"{name}.jsonl")))[row].explanation


def test_request_that_was_served_all_that_its_model_had_has_no_cause() -> None:
    assert explained("f1a_openai_alarm") is None


def test_return_to_a_model_that_has_an_older_text_only_is_the_cause_and_no_loss_of_the_server() -> None:
    found = explained("n1_back_to_first_model", 13)
    assert found is not None
    assert (found.cause, found.candidates) == ("parameters", ())


def test_time_at_which_the_served_prefix_ends_is_named_although_replicas_missed_before() -> None:
    found = explained("f1b_timestamp_exonerated")
    assert found is not None
    assert found.cause == "time"
    assert found.position is not None
    assert (found.position.part, found.position.index) == ("message", 0)


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("f16b_uuid", -1, "short_or_lost"),
        ("f16_removed_below_block", -1, "short_or_lost"),
        ("f16_crossing", -1, "short_or_lost"),
        ("j3_rag_block", -1, "short_or_lost"),
        ("f3_minimum_claimed", 8, "short_or_lost"),
        ("f8_sorted_tools_exonerated", -1, "tool_order_or_lost"),
        ("reasoning_removed", -1, "edit_or_template"),
        ("reasoning_removed_partly", -1, "edit_or_template"),
        ("block_or_template", -1, "block_or_template"),
        ("l4_first_report_half", -1, "block_or_partly_lost"),
        ("l4_small_cache", -1, "block_or_partly_lost"),
        ("l4_slot", -1, "edit_or_partly_lost"),
        ("l4_picture", -1, "edit_or_partly_lost"),
    ],
)
def test_report_that_two_reasons_explain_is_unknown_and_names_both(name: str, row: int, reason: Reason) -> None:
    found = explained(name, row)
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", reason)
    assert found.reason not in CLEARING


@pytest.mark.parametrize(
    ("name", "row", "place"),
    [("f16b_uuid", -1, (0, 1, 708)), ("p15_own_model_other_salt", 1, (1, 1, 1)), ("p15_more_than_shared", 3, None)],
)
def test_place_of_an_edit_that_may_be_the_cause_is_stated(
    name: str, row: int, place: tuple[int, int, int] | None
) -> None:
    found = explained(name, row)
    assert found is not None
    position = found.position
    assert place == (position and (position.index, position.line, position.column))


def test_documents_that_differ_are_not_cleared_by_an_order_that_puts_system_text_last() -> None:
    for result in replay_traffic(read_traffic(CASES / "j3_rag_chat_block.jsonl")):
        found = result.explanation
        if found is not None and found.cause == "server":
            assert found.compared_with == "0"  # continued: every byte is there
    assert found is not None
    assert found.cause == "unknown"


@pytest.mark.parametrize(
    ("name", "row", "candidate"),
    [
        ("f2_reasoning_dropped_qwen3", -1, "reasoning_left_out"),
        ("f6_date_in_template", 8, "date"),
        ("f5_ttl_silent", 5, "gap"),
        ("f7_partial_eviction_silent", 6, "room"),
    ],
)
def test_identical_text_that_was_not_served_has_the_true_reason_among_its_candidates(
    name: str, row: int, candidate: CandidateCode
) -> None:
    found = explained(name, row)
    assert found is not None
    assert found.cause == "server", (found.reason, found.sentence)
    assert candidate in {one.code for one in found.candidates}


def test_large_part_of_a_shared_beginning_that_was_not_served_is_not_blamed_on_the_text_behind_it() -> None:
    """512 of 984 tokens, or a checkpoint at 512."""
    found = explained("k4_partial_loss")
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", "kept_points_or_lost")


def test_report_of_what_a_newer_request_shares_is_not_blamed_on_where_an_older_one_differs() -> None:
    found = explained("l4_undone_edit")
    assert found is not None
    assert (found.cause, found.reason, found.compared_with) == ("server", "partly_lost", "q8")
    assert "gap" in {one.code for one in found.candidates}


@pytest.mark.parametrize("row", [-5, -4, -2, -1])
def test_replicas_in_turn_are_one_candidate_while_a_late_prefix_explains_the_same(row: int) -> None:
    """Each prefix that was not served was sent 4 to 22 s before."""
    found = explained("l4_replica_in_turn", row)
    assert found is not None
    assert {"not_stored", "replica"} <= {one.code for one in found.candidates}


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("k4_nfd", 2),
        ("k4_crlf", 221),
        ("l4_tabs", 5),
        ("l4_no_break_spaces", 5),
        ("l4_nfkc", 1),
        ("l4_full_width", 2),
    ],
)
def test_text_in_another_unicode_form_or_with_other_line_ends_is_a_version_of_the_same_prompt(
    name: str, column: int
) -> None:
    found = explained(name)
    assert found is not None
    assert (found.cause, found.message) == ("spacing", 0)
    assert found.position is not None
    assert (found.position.line, found.position.column) == (1, column)


def test_gap_is_stated_in_seconds() -> None:
    found = explained("f5_ttl_silent", 5)
    assert found is not None
    assert next(one.seconds for one in found.candidates if one.code == "gap") == pytest.approx(1_500, abs=60)


def test_cache_that_serves_tokens_is_not_called_switched_off() -> None:
    found = explained("f2_reasoning_dropped_qwen3")
    assert found is not None
    assert "switched_off" not in {one.code for one in found.candidates}


def test_calls_that_the_client_writes_in_another_way_are_not_the_templates_doing() -> None:
    assert explained("n2_client_rewrites_arguments", 2) is None


@pytest.mark.parametrize("name", ["time_after_tools", "f1b_timestamp_exonerated"])
def test_sentence_and_position_name_the_same_character(name: str) -> None:
    found = explained(name)
    assert found is not None
    assert found.cause == "time"
    assert found.position is not None
    assert f"line {found.position.line}, character {found.position.column}:" in found.sentence


@pytest.mark.parametrize("name", ["j3_n1_lost0", "j3_n1_lost320"])
def test_model_that_lost_its_own_prefix_is_not_explained_by_the_change_of_model(name: str) -> None:
    found = explained(name)
    assert found is not None
    assert found.cause == "server"


@pytest.mark.parametrize("name", ["j3_string", "j3_array"])
def test_position_in_a_list_of_text_parts_is_the_one_in_the_text(name: str) -> None:
    found = explained(name)
    assert found is not None
    assert found.position is not None
    assert (found.position.line, found.position.column) == (15, 11)
    assert "line 15, character 11:" in found.sentence


@pytest.mark.parametrize(
    ("name", "message", "line", "column"), [("j4_cache_control_list", 7, 4, 103), ("j4_second_edit", 3, 1, 79)]
)
def test_position_in_text_parts_is_right_if_the_server_leaves_out_ids(
    name: str, message: int, line: int, column: int
) -> None:
    found = next(
        one.explanation
        for one in reversed(list(replay_traffic(read_traffic(CASES / f"{name}.jsonl"))))
        if one.explanation is not None
    )
    assert found.position is not None
    assert (found.position.index, found.position.line, found.position.column) == (message, line, column)


@pytest.mark.parametrize(("row", "message", "column"), [(3, 3, 50), (5, 3, 58), (7, 5, 97)])
def test_position_beside_a_picture_counts_in_the_text(row: int, message: int, column: int) -> None:
    found = explained("j4_image_part", row)
    assert found is not None
    assert found.position is not None
    assert (found.position.index, found.position.line, found.position.column) == (message, 1, column)


def test_content_written_as_a_list_instead_of_a_string_is_the_same_text() -> None:
    assert explained("j4_string_to_list") is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("m8_whole_messages_minimum", "whole_message_or_lost"),
        ("m8_whole_messages", "whole_message_or_lost"),
        ("m8_checkpoints", "block_or_partly_lost"),
        ("m8_block_256", "short_or_lost"),
    ],
)
def test_edit_is_not_cleared_while_a_cache_that_has_no_more_is_possible(name: str, reason: Reason) -> None:
    """An edit inside a message or block of which the server, as it is made, can serve nothing."""
    found = explained(name)
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", reason)
    assert found.reason not in CLEARING


@pytest.mark.parametrize("name", ["m8_tool_order_replica", "m8_tool_order_first"])
def test_tools_in_another_order_are_not_blamed_while_text_before_them_may_be_lost(name: str) -> None:
    """Another replica answered: it had less than what is before the tools."""
    found = explained(name)
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", "order_or_lost")


@pytest.mark.parametrize("row", [7, 8])
def test_lifetime_is_not_named_while_replicas_explain_the_same_reports(row: int) -> None:
    """Three replicas at random, which forget nothing: one miss and few hits after shorter pauses."""
    found = explained("m8_no_lifetime", row)
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", "kept_points_or_lost")


@pytest.mark.parametrize("name", ["m10_end_states_first", "m10_end_states_edit", "m11_end_state_served_again"])
def test_edit_is_not_cleared_while_the_server_may_keep_ends_of_requests_only(name: str) -> None:
    """A sliding-window model, whose cache has no state inside a prompt: nothing is served before the new question, or
    before one edited character; or the end of an earlier prompt, as before."""
    found = explained(name)
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", "kept_points_or_lost")
    assert found.reason not in CLEARING


@pytest.mark.parametrize(
    ("name", "reason", "candidate"),
    [
        ("m10_edit_blamed_replica", "lost", "replica"),
        ("m10_new_text_replica", "whole_message_or_lost", "replica"),
        ("l4_half_lost", "partly_lost", "room"),  # the same request stored all of it: no restart
        ("m10_new_text_running", "block_or_partly_lost", "running"),
    ],
)
def test_difference_is_not_blamed_if_an_earlier_request_shares_more_than_was_served(
    name: str, reason: Reason, candidate: CandidateCode
) -> None:
    """What differs from the most similar request was sent before, or the counted prompt shows that more was shared."""
    found = explained(name)
    assert found is not None
    assert found.reason == reason
    assert candidate in {one.code for one in found.candidates}


def test_lifetime_is_named_though_an_older_request_that_shares_a_few_characters_more_was_served() -> None:
    """The pause of a prefix that was served is that of the newest request that has as much of it."""
    found = explained("m10_new_text_ttl")
    assert found is not None
    assert (found.cause, found.reason, found.candidates) == ("idle", "expired", ())


def test_size_of_a_beginning_is_not_learned_from_a_report_that_ended_elsewhere() -> None:
    """512 of 1,502 tokens were served of a prompt whose shared beginning had 306."""
    found = explained("m10_alarm_estimate")
    assert found is not None
    assert found.reason == "new_text"


def test_replicas_are_not_named_for_a_server_that_has_served_nothing() -> None:
    found = explained("m11_never_served")
    assert found is not None
    assert (found.cause, found.reason) == ("server", "lost")
    assert found.candidates[0].code == "switched_off"


def test_server_that_has_served_nothing_is_not_explained_by_a_template() -> None:
    found = explained("m14_never_served")
    assert found is not None
    assert (found.cause, found.reason) == ("server", "lost")
    codes = [one.code for one in found.candidates]
    assert codes[0] == "switched_off"
    assert "replica" not in codes


def test_value_that_another_conversation_sent_before_is_not_blamed() -> None:
    """The clock of the system message is the one of another conversation, whose first message differs."""
    found = explained("m14_clock_sent_before")
    assert found is not None
    assert (found.reason, found.compared_with, found.message) == ("differs", "r7", 1)


def test_first_figure_of_a_server_is_a_large_block_or_a_loss() -> None:
    found = explained("m14_first_figure_of_replicas")
    assert found is not None
    assert (found.cause, found.reason) == ("unknown", "block_or_partly_lost")
    assert "replica" in {one.code for one in found.candidates}


@pytest.mark.parametrize("row", [-5, -4, -3, -2, -1])
def test_prompt_of_which_a_slot_has_the_template_alone_is_lost(row: int) -> None:
    found = explained("m11_slot_of_three_users", row)
    assert found is not None
    assert (found.cause, found.reason) == ("server", "lost")


def test_lifetime_that_a_use_does_not_renew_is_a_candidate_after_a_short_pause() -> None:
    """60 s from when the text was stored: served after 49 s, without a pause as long, and not served after 102 s."""
    found = explained("n15_fixed_lifetime", 6)
    assert found is not None
    (gap,) = (one for one in found.candidates if one.code == "gap")
    assert gap.stored
    assert gap.seconds == pytest.approx(102.0, abs=1.0)


def test_correction_keeps_the_lifetime_if_the_unserved_request_stored_what_was_served_later() -> None:
    """Blocks of 256 tokens: all that the request before a pause of 2.6 h had, the one after it had stored again."""
    traffic = read_traffic(CASES / "n15_correction_of_lifetime.jsonl")
    assert [result.corrections for result in replay_traffic(traffic)] == [()] * 4


def test_parameter_with_which_a_part_of_a_prompt_was_served_may_end_another_prompt() -> None:
    """The template writes the output format behind the system message, which is shared whatever the format."""
    found = explained("n15_format_left_out")
    assert found is not None
    assert "response_format" in next(one.text for one in found.candidates if one.code == "parameters")


def test_place_of_a_difference_is_that_of_most_orders_if_nothing_was_served() -> None:
    """The order with the system text last is the most probable one, but less so than all others together."""
    found = explained("n15_place_of_most_orders")
    assert found is not None
    assert found.position is not None
    assert (found.message, found.position.column) == (0, 9)


def test_other_model_and_salt_are_the_cause_although_the_own_model_has_another_conversation() -> None:
    found = explained("p15_own_model_other_salt")
    assert found is not None
    assert found.cause == "parameters"
    assert "model:" in found.sentence
    assert "cache_salt:" in found.sentence


def test_other_model_is_named_beside_a_loss_of_the_own_model() -> None:
    found = explained("p15_own_model_late")
    assert found is not None
    assert "model:" in found.sentence
    assert "not_stored" in {one.code for one in found.candidates}


def test_other_model_is_not_alone_the_cause_if_a_block_that_nothing_proves_hides_a_loss_of_the_own_model() -> None:
    """3,109 of 3,618 tokens that the own model had, in the first report above 0."""
    found = explained("q18_own_model_lost")
    assert found is not None
    assert found.cause == "parameters"
    assert "room" in {one.code for one in found.candidates}


def test_minimum_that_the_text_of_the_own_model_does_not_reach_is_a_candidate() -> None:
    """1,018 tokens of this model, 1,312 of another one that was served 1,024."""
    found = explained("q18_minimum_of_own_model")
    assert found is not None
    codes = {one.code for one in found.candidates}
    assert {"minimum", "bypassed"} <= codes
    assert "switched_off" not in codes  # the server has reported cached tokens


def test_order_in_which_the_answer_of_a_continued_prompt_was_served_is_not_refuted() -> None:
    """928 tokens: all of a prompt of 833 and its answer, at a replica; the system text seemed to be last before."""
    assert explained("q18_answer_of_a_replica") is None


def test_request_is_not_compared_with_one_that_was_sent_later() -> None:
    found = explained("p15_sent_later", 0)
    assert found is not None
    assert found.compared_with is None


def test_edit_is_not_certain_while_a_request_that_shares_more_is_running() -> None:
    found = explained("p15_running")
    assert found is not None
    assert "running" in {one.code for one in found.candidates}


def test_changed_text_is_named_if_another_model_shares_a_few_characters_more() -> None:
    found = explained("p15_changed_document")
    assert found is not None
    assert (found.cause, found.message) == ("edited", 0)


def test_no_loss_is_stated_if_all_of_the_earlier_prompt_was_served() -> None:
    assert explained("p15_rounded") is None


def test_request_that_shares_what_was_served_is_compared_if_a_template_moves_the_system_text() -> None:
    found = explained("p15_more_than_shared")
    assert found is None or found.reason != "more_than_shared"


def test_running_request_shares_no_more_than_the_counted_prompt_has() -> None:
    """59 of 909 tokens were fresh: a running request seemed to share 1,280, by an estimate made before the count."""
    found = explained("r20_running_estimated")
    assert found is not None
    assert (found.reason, found.candidates) == ("new_text", ())


def profile_of(name: str) -> CacheProfile:
    """Replay a session and return what its reports have taught."""
    replay = replay_traffic(read_traffic(CASES / f"{name}.jsonl"))
    for _ in replay:
        pass
    assert replay.summary.profile is not None
    return replay.summary.profile


def test_server_that_keeps_ends_of_prompts_and_the_system_message_has_no_replicas() -> None:
    """The template clears results of tools and leaves out reasoning, so that an older prompt's end is served."""
    assert profile_of("s28_breakpoints").replicas.confidence < 0.7


def test_block_that_three_figures_share_by_chance_is_a_guess() -> None:
    """1,536, 1,728 and 1,920 are multiples of 192, of blocks of 64."""
    assert profile_of("s28_shared_block").block.confidence < 0.7


def test_answers_are_not_excluded_by_orders_that_share_less() -> None:
    """Two replicas in turn had all of an older prompt and its answer, which tools behind all messages exclude."""
    found = profile_of("t25_replicas_in_turn")
    assert found.answers_cached.value is not False or found.answers_cached.confidence < 0.7


@pytest.mark.parametrize(
    ("name", "block", "least"),
    [
        ("s28_tools_after_messages", 16, 14),
        ("s28_fixed_lifetime", 16, 12),
        ("s28_users", 32, 13),
        ("u30_reasoning_left_out", 16, 11),
        ("u30_catalogue", 16, 8),
        ("u30_three_in_turn", 16, 6),
    ],
)
def test_forecasts_are_within_a_block(name: str, block: int, least: int) -> None:
    """A template that puts the tools behind all messages; a lifetime that no use renews; requests of three users, which
    share a cache; a template that leaves out earlier reasoning, which prompts without it tell; a tool that changes in
    front of where another one changed before; three replicas in turn, from the report on that shows them."""
    found = [
        one.usage.cached_tokens is not None and abs(one.forecast.cached_tokens - one.usage.cached_tokens) <= block
        for one in replay_traffic(read_traffic(CASES / f"{name}.jsonl"))
        if one.usage is not None
    ]
    assert sum(found) >= least


def test_place_of_the_tools_may_be_behind_all_messages() -> None:
    assert profile_of("s28_tools_after_messages").tools_position.value == "after_messages"
    found = explained("s28_tools_after_messages")
    assert found is not None
    assert (found.cause, found.reason) == ("server", "template_moves")
    assert "behind all messages" in found.sentence


def test_place_of_the_tools_is_sure_once_reports_exclude_each_other_one() -> None:
    """The first reports refute them, before sizes are known well enough to exclude any."""
    found = profile_of("q18_place_of_tools").tools_position
    assert found.value == "inside"
    assert found.confidence >= 0.7


def test_parameter_that_keeps_prompts_apart_is_forecast_from_the_second_report_on() -> None:
    forecasts = [
        (one.forecast.cached_tokens, one.forecast.low, one.usage.cached_tokens)
        for one in replay_traffic(read_traffic(CASES / "re33_cache_salt.jsonl"))
        if one.usage is not None
    ]
    salted = [place for place, (_, _, cached) in enumerate(forecasts) if place and not cached]
    assert salted == [5, 11, 17, 23]
    assert forecasts[11][1] == 0, "one report: possible"
    assert [forecasts[place][0] for place in salted[2:]] == [0, 0]
    assert all(cached is not None and abs(forecast - cached) <= 32 for forecast, _, cached in forecasts[12:])
