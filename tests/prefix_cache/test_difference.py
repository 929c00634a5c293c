"""The first difference of two requests."""

from __future__ import annotations

from playground.prefix_cache.difference import difference, rewritten
from playground.prefix_cache.view import CacheView, view_of_fields
from playground.prompt.document import Json

HARBOUR = "You are the agent of a harbour."
RULES = [f"Rule {number}: confirm the number of the caller {number} times." for number in range(40)]


def view(system: str, *turns: str) -> CacheView:
    roles = ("user", "assistant")
    messages: list[Json] = [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]
    return view_of_fields({"messages": [{"role": "system", "content": system}, *messages]})


def test_difference_system_message_edited_in_two_places_is_its_edit_and_no_removal() -> None:
    def system(time: str, session: str) -> str:
        return "\n".join([f"It is {time} now.", *RULES[:20], f"Session {session}", *RULES[20:]])

    earlier = view(system("14:03", "41ab"), "Bill?", "Yes.", "And May?", "No.", "Why?")
    found = difference(view(system("14:04", "9f2c"), "Offers?"), earlier)
    assert found is not None
    assert (found.shape, found.cause) == ("text", "time")
    assert found.around == ("14:03", "14:04")


def test_difference_history_cut_behind_the_system_message_is_a_removal() -> None:
    system = "\n".join(RULES)
    found = difference(
        view(system, "And May?", "No.", "Why?"), view(system, "Bill?", "Yes.", "And May?", "No.", "Why?")
    )
    assert found is not None
    assert (found.shape, found.cause) == ("structure", "removed")


def _body(tool: Json, arguments: str, **fields: Json) -> CacheView:
    call: Json = {"id": "1", "type": "function", "function": {"name": "find", "arguments": arguments}}
    messages: list[Json] = [
        {"role": "user", "content": "Where is it?", **fields},
        {"role": "assistant", "content": None, "tool_calls": [call]},
    ]
    return view_of_fields({"tools": [tool], "messages": messages})


def test_rewritten_keys_names_and_spelling_of_arguments_become_those_of_the_later_request() -> None:
    one: Json = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    other: Json = {"function": {"parameters": {"type": "object"}, "name": "find"}, "type": "function"}
    earlier = _body(one, '{"a": 1, "b": "é"}', name="user_1")
    now = _body(other, '{"b":"\\u00e9","a":1}', name="user_2")
    found = rewritten(earlier, now)
    assert found is not None
    assert found.text == now.text
    assert rewritten(now, now) is None
    changed = rewritten(_body(one, '{"a": 2}'), now)
    assert changed is not None
    assert changed.text != now.text


def test_first_turn_of_another_conversation_is_not_called_a_removal_of_messages() -> None:
    earlier = view(HARBOUR, "Where is crate 7?", "In the third hall.", "And crate 9?", "On its way.")
    found = difference(view(HARBOUR, "Which ships leave tonight?"), earlier)
    assert found is not None
    assert found.cause == "edited"
    assert found.words == "another conversation begins here"
    assert found.part.index == 1


def test_history_of_which_a_part_is_left_is_called_a_removal_of_messages() -> None:
    earlier = view(HARBOUR, "Where is crate 7?", "In the third hall.", "And crate 9?", "On its way.")
    found = difference(view(HARBOUR, "And crate 9?", "On its way."), earlier)
    assert found is not None
    assert found.words == "2 messages were taken out"


def test_turn_in_front_of_a_last_message_that_each_request_renews_is_put_in() -> None:
    def request(*turns: tuple[str, str], time: str) -> CacheView:
        messages: list[Json] = [{"role": role, "content": text} for role, text in turns]
        return view_of_fields({"messages": [*messages, {"role": "system", "content": f"It is {time} now."}]})

    turns = [("system", HARBOUR), ("user", "Where is crate 7?")]
    found = difference(
        request(*turns, ("assistant", "In the third hall."), ("user", "And crate 9?"), time="15:50"),
        request(*turns, time="15:49"),
    )
    assert found is not None
    assert (found.cause, found.words) == ("added", "2 messages were put in before the last one")
