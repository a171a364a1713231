#!/usr/bin/env python3
"""Holds a running `shoal serve` against the official Python client.

    openai_client_test.py http://127.0.0.1:8080/v1

Proves that the `openai` package can use the server as it would OpenAI's: whole and streamed
answers, text completions, two chats at once, and errors that become the package's own exceptions.
Answers are checked for their form; of their words only that greedy ones repeat.
Prints "N passed, N failed" and exits with 1 if any failed.
"""

import sys
import threading
import traceback

import openai

FAILURES = []
PASSED = []


def check(function):
    """Runs one check at once and counts it."""
    try:
        function()
        PASSED.append(function.__name__)
        print("ok    ", function.__name__)
    except Exception:
        FAILURES.append(function.__name__)
        print("FAILED", function.__name__)
        traceback.print_exc()


def expect(condition, message):
    if not condition:
        raise AssertionError(message)


def expect_error(kind, status, call):
    try:
        call()
    except kind as error:
        expect(error.status_code == status, f"status {error.status_code}, expected {status}")
        expect(error.message, "the error has no message")
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} BASE_URL")
    base_url = sys.argv[1].rstrip("/")
    if not base_url.endswith("/v1"):
        base_url += "/v1"
    client = openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0, timeout=300)
    model = client.models.list().data[0].id
    question = [{"role": "user", "content": "Name three colours."}]

    def ask(messages=question, **fields):
        defaults = {"model": model, "messages": messages, "max_tokens": 16, "temperature": 0}
        return client.chat.completions.create(**{**defaults, **fields})

    def streamed_text(**fields):
        chunks = list(ask(stream=True, **fields))
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks

    @check
    def model_can_be_retrieved():
        expect(client.models.retrieve(model).id == model, "another model came")

    @check
    def chat_whole():
        answer = ask()
        choice = answer.choices[0]
        expect(choice.message.role == "assistant", choice)
        expect(choice.message.content, "the answer is empty")
        expect(choice.finish_reason in ("stop", "length"), choice.finish_reason)
        usage = answer.usage
        expect(usage.prompt_tokens > 0 and 0 < usage.completion_tokens <= 16, usage)
        expect(usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage)

    @check
    def chat_streamed_equals_whole():
        text, chunks = streamed_text(stream_options={"include_usage": True})
        expect(text == ask().choices[0].message.content, f"streamed {text!r}")
        expect(chunks[0].choices[0].delta.role == "assistant", chunks[0])
        reasons = [c.choices[0].finish_reason for c in chunks if c.choices]
        expect(reasons[-1] in ("stop", "length") and not any(reasons[:-1]), reasons)
        expect(chunks[-1].usage.completion_tokens > 0, chunks[-1])
        expect(len({c.id for c in chunks}) == 1, "chunks have several ids")

    @check
    def two_chats_at_once_do_not_mix():
        prompts = [[{"role": "user", "content": text}] for text in ("Count to ten.", "Say hello.")]
        alone = [ask(prompt).choices[0].message.content for prompt in prompts]
        together = [None, None]

        def run(i):
            together[i] = streamed_text(messages=prompts[i])[0]

        threads = [threading.Thread(target=run, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect(together == alone, f"{together} at once, {alone} alone")

    @check
    def seeds_repeat():
        def draw():
            return ask(temperature=1.0, seed=42).choices[0].message.content

        expect(draw() == draw(), "the same seed gave two texts")

    @check
    def several_choices():
        answer = ask(n=2, temperature=1.0, max_tokens=4)
        expect([c.index for c in answer.choices] == [0, 1], answer.choices)

    @check
    def stop_string_is_not_in_the_answer():
        full = ask().choices[0].message.content
        stop = full[len(full) // 2 :][:3]
        answer = ask(stop=[stop]).choices[0]
        expect(answer.message.content == full[: full.index(stop)], answer.message.content)
        expect(answer.finish_reason == "stop", answer.finish_reason)

    @check
    def logprobs_come():
        entries = ask(logprobs=True, top_logprobs=3, max_tokens=4).choices[0].logprobs.content
        expect(0 < len(entries) <= 4, entries)
        for entry in entries:
            expect(entry.logprob <= 0 and len(entry.top_logprobs) == 3, entry)
            expect(entry.logprob == entry.top_logprobs[0].logprob, "greedy takes the likeliest")

    @check
    def text_completions():
        def complete(**fields):
            defaults = {"model": model, "prompt": "One, two,", "max_tokens": 8, "temperature": 0}
            return client.completions.create(**{**defaults, **fields})

        whole = complete().choices[0].text
        expect(whole, "the answer is empty")
        streamed = "".join(chunk.choices[0].text for chunk in complete(stream=True))
        expect(streamed == whole, f"streamed {streamed!r}, whole {whole!r}")
        expect(complete(echo=True).choices[0].text == "One, two," + whole, "echo")
        expect(len(complete(prompt=["a", "b"]).choices) == 2, "two prompts")

    @check
    def a_stream_that_is_left_does_no_harm():
        stream = ask(stream=True, max_tokens=512)
        next(iter(stream))
        stream.close()
        expect(ask(max_tokens=2).choices[0].message.content, "the next answer is empty")

    @check
    def unknown_model_is_not_found():
        error = expect_error(openai.NotFoundError, 404, lambda: ask(model="no-such-model"))
        expect(error.code == "model_not_found", error.code)

    @check
    def wrong_values_are_bad_requests():
        error = expect_error(openai.BadRequestError, 400, lambda: ask(temperature=9))
        expect(error.param == "temperature", error.param)
        error = expect_error(openai.BadRequestError, 400, lambda: ask(messages=[]))
        expect(error.param == "messages", error.param)
        image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
        messages = [{"role": "user", "content": image}]
        expect_error(openai.BadRequestError, 400, lambda: ask(messages))

    @check
    def too_long_prompts_are_bad_requests():
        # More words than any context has tokens left, but within the limit of a body.
        messages = [{"role": "user", "content": "word " * 1_500_000}]
        for stream in (False, True):
            error = expect_error(
                openai.BadRequestError, 400, lambda: ask(messages, stream=stream)
            )
            expect(error.code == "context_length_exceeded", error.code)

    print(f"{len(PASSED)} passed, {len(FAILURES)} failed")
    sys.exit(1 if FAILURES else 0)


if __name__ == "__main__":
    main()
