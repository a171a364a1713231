"""make_jinja_cases.py > tests/data/jinja_cases.json

What Jinja2, set up as Hugging Face sets it up (sandboxed, trim_blocks, lstrip_blocks, loop controls;
the date fixed at 2026-01-15), makes of many small templates: the oracle of chat_template_test.
Needs the Python package jinja2 (3.1.6 made the checked-in file).

The result has "contexts" by name and "cases": [template, context name, output], or
[template, context name, null, kind, message] for an error.
"""
import datetime
import json
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

import jinja_case_templates


class GenerationBlocks(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


class RaisedByTemplate(jinja2.TemplateError):
    pass


def environment():
    def raise_exception(message):
        raise RaisedByTemplate(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[GenerationBlocks, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = datetime.datetime(2026, 1, 15).strftime
    return env


def render(env, template, name):
    try:
        output = env.from_string(template).render(**jinja_case_templates.CONTEXTS[name])
        return [template, name, output]
    except RaisedByTemplate as e:
        return [template, name, None, "raise_exception", str(e)]
    except Exception as e:  # whatever it is, the template must fail
        return [template, name, None, type(e).__name__, str(e)]


def main():
    env = environment()
    cases = [render(env, template, name) for template, name in jinja_case_templates.all_cases()]
    print('{"contexts": ' + json.dumps(jinja_case_templates.CONTEXTS) + ',\n"cases": [')
    print(",\n".join(json.dumps(case) for case in cases) + "]}")


if __name__ == "__main__":
    sys.exit(main())
