"""The templates and contexts of make_jinja_cases.py."""

CONTEXTS = {
    "data": {
        "n": None, "t": True, "f": False, "i": 7, "neg": -3, "big": 12345678901234567890,
        "huge": 123456789012345678901234567890, "fl": 2.5, "whole": 3.0, "small": 1e-7, "large": 1e22,
        "s": "Hello, World", "e": "", "u": "na\u00efve \u00dcber stra\u00dfe \u03a3\u03c3 \U0001f680x",
        "sp": "  \t padded \n ", "html": "<b>\"a\" & 'b'</b>", "lines": "one\n  two\r\n\nfour\n",
        "num": "42", "badnum": "42.9x", "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "empty": [],
        "nested": [[1, [2, "x"]], {"k": [None, True, 1.5]}],
        "d": {"b": 1, "a": "two", "C": [1, 2], "items": "shadow", "x y": 5},
        "ed": {}, "quote": "it's", "both": "it's \"so\"", "ctl": "a\u0000b\u001f\u007f\u00a0\u200b\u2028",
        "people": [{"name": "Zoe", "age": 30, "tags": ["x"]}, {"name": "adam", "age": 25, "tags": []},
                   {"name": "Bob", "age": 30}],
        "json": '{"a": [1, 2.0, "x"], "b": null}', "date": "2026",
    },
    "chat": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi <there> & \"you\""},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function",
                 "function": {"name": "f", "arguments": {"x": 1, "y": [1.0, "\u00e9"], "z": None}}}]},
            {"role": "tool", "name": "f", "content": [{"type": "text", "text": "done"},
                                                      {"type": "image"}]},
            {"role": "assistant", "content": "<think>hm</think>\n\n It is done. "},
        ],
        "tools": [{"type": "function", "function": {
            "name": "f", "description": "Does \u201cf\u201d.",
            "parameters": {"type": "object", "required": ["x"], "properties": {
                "x": {"type": "integer", "description": "A\nB"},
                "y": {"type": ["array", "null"], "items": {"type": "number"}},
                "e": {"type": "string", "enum": ["a", "b"]}}}}}],
        "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True,
    },
}

# Each stands for "{{ expression }}".
EXPRESSIONS = r'''
n
t
f
i
neg
big
big + 1
big * big
huge
huge + 1
huge // 7
huge % 1000
-huge
fl
whole
small
large
1e16
123456789012345.0
1e15
1e-4
0.0001234
1e-5
-0.0
0.1 + 0.2
1/3
7/2
6/2
7//2
-7//2
7%3
-7%3
7%-3
7.5//2
-7.5//2
7.5%2
-7.5%2
2**10
2**-1
2**0.5
2**3**2
-2**2
10**30
1/0
1//0
1%0
1.5%0
0**-1
1 + true
true + true
1 - 2 - 3
2 + 3 * 4
(2 + 3) * 4
-i
+i
- -i
not t
not not e
i is odd
1_000
0x1F
0o17
0b101
1_0.5
1.5e3
2E2
1.
'a' 'b' "c"
'it\'s'
"q\"q"
'\n\t\\x'
'\x41\u00e9\U0001F680\101'
'\q\%\d'
'\é'
"a\
b"
s
s|length
s|upper
s|lower
s|title
s|capitalize
s|first
s|last
s|reverse
s|list
s|trim('Hd')
s|replace('l', 'L')
s|replace('l', 'L', 1)
s|replace('', '-')
s|center(20)
s|center(21) ~ '|'
s|wordcount
s|truncate(5)
s|truncate(8, true)
s|truncate(8, true, '..', 0)
('word ' * 20)|truncate(30)
s|indent
lines|indent
lines|indent(2, true)
lines|indent(2, true, true)
lines|indent('> ', blank=true)
n|indent
s[0]
s[-1]
s[99]
s[1:4]
s[:5]
s[-5:]
s[::-1]
s[::2]
s[5:1:-1]
s[10:2:-3]
s[:-1]
s[100:]
s[::0]
s['upper']()
s.nope
s.nope.nope
s[1.0]
s[none]
s[n:3]
s['a':]
u
u|length
u|upper
u|lower
u|title
u|capitalize
u[::-1]
u[2]
u[6:10]
u[-2]
u[::3]
u.swapcase()
u.casefold()
u.title()
u|list
u|tojson
u|tojson(ensure_ascii=true)
[u]
sp|trim
sp.strip()
sp.lstrip()
sp.rstrip()
'xxaxx'.strip('x')
'xyaxy'.lstrip('yx')
'xyaxy'.rstrip('yx')
'xx'.strip(none)
'abc'.strip(1)
s.split()
s.split(',')
s.split(', ')
'a,b,c'.split(',', 1)
'a,b,c'.split(',', maxsplit=1)
'a b  c'.split(maxsplit=1)
'a b  c '.split(none, 1)
'a,b,c'.rsplit(',', 1)
' a b  c '.rsplit()
' a b  c '.rsplit(none, 1)
''.split()
''.split(',')
'abc'.split('')
'a,b'.split(1)
lines.splitlines()
lines.splitlines(true)
lines.splitlines(keepends=true)
'a\x0bb\x1cc\u2028d'.splitlines()
s.partition(', ')
s.partition('zz')
'a.b.c'.rpartition('.')
'abc'.rpartition('.')
s.startswith('Hell')
s.startswith(('x', 'He'))
s.startswith('l', 2)
s.startswith('l', 2, 2)
s.startswith(1)
s.startswith(['a'])
s.endswith('World')
s.endswith('')
''.startswith('')
s.find('o')
s.find('o', 5)
s.find('z')
s.rfind('o')
s.rfind('o', 0, 5)
s.index('W')
s.index('z')
u.find('x')
u.find('', 99)
s.count('l')
s.count('')
'aaaa'.count('aa')
s.replace('o', '0')
s.replace('o', '0', 1)
'aaa'.replace('', '.')
'aaa'.replace('', '.', 2)
s.join(['a', 'b'])
', '.join(ls)
', '.join(l)
', '.join('abc')
', '.join(d)
','.join(5)
s.upper().lower()
s.isalpha()
'abc'.isalpha()
'ab1'.isalnum()
'123'.isdigit()
'12a'.isdigit()
''.isdigit()
'²'.isdigit()
'²'.isdecimal()
'½'.isnumeric()
'½'.isdigit()
' \t'.isspace()
'Ab Cd'.istitle()
'AB1'.isupper()
'ab1'.islower()
'1'.islower()
'a_1'.isidentifier()
'1a'.isidentifier()
'é'.isascii()
'a\n'.isprintable()
'abc'.ljust(5) ~ '|'
'abc'.rjust(5, '*')
'abc'.center(6, '*')
'abcd'.center(7, '*')
'abc'.ljust(5, 'ab')
'42'.zfill(5)
'-42'.zfill(5)
'a\tb'.expandtabs(4)
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'x'.removesuffix('')
"they're bill's".title()
"they're bill's"|title
'a-b (c) [d] {e} <f>'|title
'ΑΣ ΑΣΑ Σ'|lower
'ŉ ﬁ ß'|upper
'ǆ'|capitalize
'İ'|lower
'%s and %s' % ('a', 1)
'%s' % 5
'%s' % [1, 'a']
'%s' % none
'%s' % undefined_thing
'%d' % 3.9
'%d' % '3'
'%i|%u' % (1, -2)
'%5d|%-5d|%05d|%+d|% d' % (42, 42, 42, 42, 42)
'%x %X %o %#x %#o' % (255, 255, 8, 255, 8)
'%e %f %g' % (1234.5, 1234.5, 1234.5)
'%.2f|%8.3f|%-8.1f|%08.2f' % (3.14159, 3.14159, 3.14159, -3.14159)
'%g %g %g' % (1e-5, 1e20, 100000)
'%G' % 1e-10
'%r %r' % ('a', 1.0)
'%c%c' % (65, 'B')
'%%' % ()
'%d%%' % 5
'%(a)s-%(b)d' % {'a': 1, 'b': 2}
'%(zz)s' % {'a': 1}
'%s' % {'a': 1}
'abc' % {}
'abc' % []
'abc' % 1
'%s %s' % 1
'%s' % (1, 2)
'%*d' % (5, 42)
'%.3s|' % 'abcdef'
'%5.1s|' % 'abcdef'
'%.3d' % 5
'%z' % 1
'%' % 1
'%s %s'|format('a', 'b')
'%(x)s'|format(x=1)
'%s'|format('a', x=1)
'%s'|format
'{} {}'.format('a', 1)
'{0}{1}{0}'.format('a', 'b')
'{x} {y.real}'.format(x=1, y=2)
'{a[k]} {a[b]}'.format(a={'k': 1, 'b': 'z'})
'{l[1]}'.format(l=l)
'{:5}|{:<5}|{:>5}|{:^5}|'.format('a', 'b', 'c', 'd')
'{:*^7}'.format('a')
'{:05d} {:+} {:,} {:_} {:x} {:#x} {:b} {:c}'.format(42, 42, 1234567, 1234567, 255, 255, 5, 65)
'{:.2f} {:8.3f} {:e} {:g} {:%}'.format(3.14159, 3.14159, 12345.678, 0.0001, 0.25)
'{} {}'.format(1.0, none)
'{:.3}'.format(2.0)
'{:.3}'.format('abcdef')
'{!r} {!s}'.format('a', 'b')
'{:{w}}|'.format('a', w=4)
'{{}} {}'.format(1)
'{'.format()
'}'.format()
'{} {0}'.format(1)
'{1}'.format(1)
'{x}'.format()
'{:d}'.format('a')
'{:s}'.format(1)
'{:5}'.format(none)
'{:5}|{}'.format(true, false)
'{a.upper}'.format(a=1)
'{:010,}'.format(1234567)
'{:=+8}'.format(5)
'{x}'.format_map({'x': 3})
l
l|length
l|sort
l|sort(reverse=true)
l|sum
l|min
l|max
l|first
l|last
l|join
l|join('-')
l|join('-', none)
l|list
l|reverse|list
l|map('string')|list
l|map('string')|join(',')
l|map('upper')|list
l|map('nope')|list
l|map()|list
l|select('odd')|list
l|reject('odd')|list
l|select('gt', 1)|list
l|select|list
[0, 1, '', 'a', none]|select|list
[0, 1, '', 'a', none]|reject|list
l|select('nope')|list
l|select('odd')|length
(l|select('odd'))[0]
(l|select('odd')) is iterable
(l|select('odd')) is sequence
l|map('abs')|first
l|batch(2)|list
l|batch(2, 0)|list
[1,2,3,4,5,6,7]|slice(3)|list
[1,2,3,4,5,6,7]|slice(3, 'x')|list
l|truncate(5)
(html|safe)|list
[(html|e)|first]
(fl|slice(2)) is iterable
fl|slice(2)|list
fl|batch(2)|list
'' * big
l|random_filter
l[0]
l[-1]
l[5]
l[5] is defined
l[5].x
l[1:]
l[::-1]
l[:2] + l[2:]
l + [4]
l + (4,)
l + 'a'
l * 2
2 * l
l * -1
l == [3, 1, 2]
l != [3, 1, 2]
[1, 2] < [1, 3]
[1, 'a'] < [1, 2]
(1, 2) == [1, 2]
(1, 2)
(1,)
()
1, 2
[1, 2.0, 'x', none, true]
[]
[1,]
[[]]
{}
{'a': 1}
{'a': 1, 'a': 2}
{1: 'a', 1.0: 'b', true: 'c'}
{'a': {'b': [1, {'c': none}]}}
{none: 1, 1.5: 2, (1, 2): 3}
{[1]: 2}
{(1, [2]): 2}
{'a': 1}.a
{'a': 1}['a']
{'a': 1}['b']
{1: 'x'}[1]
{1: 'x'}[1.0]
{1: 'x'}[true]
l.index(1)
l.index(9)
l.count(3)
l.append(4)
l.append
l.append is defined
l.append is callable
l.pop()
l.copy()
l.sort()
d.update({'z': 1})
d.pop('a')
d.setdefault('q', 1)
d.clear
1 in l
'a' in ls
'a' not in ls
9 in l
'ell' in s
'' in s
1 in s
none in s
undefined_thing in s
undefined_thing in l
1 in d
'a' in d
[1] in d
1 in n
1 in i
1 in undefined_thing
'a' in d.values()
'two' in d.values()
('b', 1) in d.items()
'a' in d.keys()
2 in range(5)
5 in range(5)
2.0 in range(5)
'a' in range(5)
d
d|length
d.a
d['a']
d.nope
d['nope']
d.nope.x
d.items()|list
d['items']
d.keys()
d.values()
d.items()
d.keys()|list
d.values()|list
d|list
d|items|list
d|items|length
n|items|list
undefined_thing|items|list
d.get('a')
d.get('zz')
d.get('zz', 5)
d.get('zz', default=5)
d.get([1])
d['x y']
d|dictsort
d|dictsort(true)
d|dictsort(by='value')
{'b': 2, 'a': 3, 'C': 1}|dictsort(false, 'value')
{'b': 2, 'a': 3, 'C': 1}|dictsort(reverse=true)
d|dictsort(by='x')
{'b': 1, 2: 3}|dictsort
n|dictsort
d|first
d|last
d|join(',')
d|tojson
d|tojson(indent=2)
d|tojson(sort_keys=true)
d|tojson(separators=(',', ':'))
d == {'a': 'two', 'b': 1, 'C': [1, 2], 'items': 'shadow', 'x y': 5}
d.copy() == d
d[0]
d[none]
d[[1]]
d[:1]
ed
ed|tojson
ed|tojson(indent=2)
empty|tojson(indent=2)
nested
nested|tojson
nested|tojson(indent=4)
nested|tojson(indent='--')
nested|tojson(indent=0)
nested|tojson(2)
nested|string
nested[0][1][1]
nested.0
nested.1.k.0
nested[1].k[2]
[n, t, f, 1, 1.0, 's']|tojson
[small, large, 1e16, 0.1, -0.0]|tojson
{1: 2, none: 3, true: 4, 1.5: 5}|tojson
{(1,2): 3}|tojson
(1, 2)|tojson
undefined_thing|tojson
range(3)|tojson
d.items()|tojson
d.items|tojson
ctl|tojson
ctl|tojson(ensure_ascii=true)
html|tojson
html|e
html|escape
html|safe
html|safe|e
html|e|e
html|forceescape
html|e|forceescape
(html|safe) + '<x>'
'<x>' + (html|safe)
(html|safe) ~ '<x>'
(html|safe)|upper
(html|safe)|replace('b', '<')
(html|safe).replace('b', '<')
(html|safe) * 2
[html|safe]
[html|e]
(html|safe)|list|first
(html|safe)[0:3] + '<'
('%s'|safe) % '<a>'
('{}'|safe).format('<a>')
(', '|safe).join(['<', '>'])
(html|safe)|length
(html|safe) == html
(html|safe) is escaped
html is escaped
(html|safe).split('a')
('a'|safe) in 'abc'
5|safe
html|urlencode
'a b/c?d=é&'|urlencode
{'a b': 'c/d', 'x': 1}|urlencode
[('k', 'v w')]|urlencode
quote
[quote]
[both]
[ctl]
[s, e]
['\\', '\n', '\t', '\r', 'é', '\u200b', '\U0001F680', '\x7f']
i|string
fl|string
n|string
[1]|string
i ~ fl ~ n ~ t ~ l ~ undefined_thing
1 ~ 2
'a' ~ 'b' == 'ab'
'a' + 'b'
'a' + 1
1 + 'a'
'a' + none
'a' + undefined_thing
undefined_thing + 'a'
undefined_thing
undefined_thing.x
undefined_thing['x']
undefined_thing()
undefined_thing|length
undefined_thing|list
undefined_thing|default('x')
undefined_thing|d('x')
undefined_thing|default
n|default('x')
n|default('x', true)
e|default('x', true)
e|default('x', boolean=true)
f|d('y', true)
d.zz|default('none')
d.zz.yy|default('none')
undefined_thing|upper
undefined_thing|join(',')
undefined_thing|first
undefined_thing|last
undefined_thing|sort
undefined_thing|int
undefined_thing|string
undefined_thing|trim
undefined_thing|replace('a', 'b')
undefined_thing == undefined_other
undefined_thing == ''
undefined_thing == none
undefined_thing != 1
undefined_thing < 1
undefined_thing is defined
undefined_thing is undefined
undefined_thing is none
undefined_thing is string
undefined_thing is iterable
undefined_thing is sequence
undefined_thing is mapping
undefined_thing is callable
undefined_thing is number
not undefined_thing
undefined_thing and 1
undefined_thing or 'x'
-undefined_thing
undefined_thing * 2
undefined_thing[1:]
undefined_thing|tojson
[undefined_thing]
{'a': undefined_thing}
s[undefined_thing]
d[undefined_thing]
l[undefined_thing]
s[undefined_thing:]
n.x
n.x.y
n['x']
n[0]
n()
n|length
n|upper
n|trim
n|list
n|first
n|int
n|float
n + 1
n < 1
n == none
n is none
i.x
i[0]
i()
i|length
i.real
fl.is_integer()
whole.is_integer()
i.bit_length()
s()
'x'|nope
'x' is nope
i is defined
i is number
i is integer
fl is integer
fl is float
i is float
t is number
t is integer
t is boolean
i is boolean
t is true
f is false
1 is true
n is none
n is not none
s is string
s is not string
(html|safe) is string
s is mapping
d is mapping
l is mapping
s is sequence
l is sequence
d is sequence
d.items() is sequence
d.items() is iterable
range(3) is sequence
(1, 2) is sequence
i is sequence
s is iterable
i is iterable
n is iterable
s.upper is callable
range is callable
s is callable
4 is even
3 is odd
4.0 is even
-3 is odd
9 is divisibleby 3
9 is divisibleby(2)
9 is divisibleby 0
s is lower
'abc' is lower
'ABC' is upper
'a1' is lower
1 is eq 1
1 is equalto 1.0
1 is ne 2
1 is lt 2
2 is gt 1
1 is ge 1
1 is le 0
1 is greaterthan 0
1 is lessthan 0
1 is sameas 1
none is sameas none
true is sameas 1
1 is in [1, 2]
'a' is in 'abc'
'upper' is filter
'nope' is filter
'odd' is test
1 is not in [1]
i is defined and i > 3
i is defined if true else 1
i is number | string
1 < 2
1 < 2 < 3
1 < 3 < 2
1 == 1.0
1 == true
'1' == 1
1 <= 1.0 < 2 != 3
'a' < 'b'
'a' < 1
none < none
d < d
big == 12345678901234567890.0
9007199254740993 == 9007199254740993.0
1 if t else 2
1 if f else 2
1 if f
(1 if f) is defined
(1 if f)|default('d')
1 if f else 2 if f else 3
t and f or 'x'
t or undefined_thing.x
'' or 0 or none
1 and 2 and 3
not t or t
not (t and f)
not 1 == 2
not 'a' in 'abc'
range(3)
range(3)|list
range(1, 4)|list
range(10, 0, -3)|list
range(3)[1]
range(3)[5]
range(10)[2:5]
range(10)[::-2]|list
range(3)|length
range(0)|list
range(1, 2, 0)
range(100001)|length
range(100000)|length
range(10**9)
range('a')
range(1.5)
range(3) == range(0, 3)
range(5).index(3)
range(2, 8, 2).step
range()
dict(a=1, b=2)
dict({'a': 1}, b=2)
dict([('a', 1), ['b', 2]])
dict([1])
dict(1)
namespace(a=1).a
namespace(a=1).b
namespace({'a': 1}, b=2).b
namespace(a=1)
namespace(a=1)['a']
namespace() is defined
joiner('|') is callable
cycler(1, 2).current
cycler()
people|map(attribute='name')|list
people|map(attribute='name')|join(', ')
people|map(attribute='tags')|list
people|map(attribute='tags', default='-')|list
people|map(attribute='tags.0')|list
people|map(attribute='nope')|list
people|map(attribute='nope.x')|list
people|map(attribute='nope', default=1)|list
people|map('attr', 'name')|list
people|selectattr('age', 'equalto', 30)|map(attribute='name')|list
people|selectattr('tags')|map(attribute='name')|list
people|selectattr('tags', 'defined')|list|length
people|rejectattr('tags', 'defined')|list|length
people|rejectattr('age', 'gt', 26)|map(attribute='name')|first
people|selectattr|list
people|sort(attribute='name')|map(attribute='name')|list
people|sort(attribute='name', case_sensitive=true)|map(attribute='name')|list
people|sort(attribute='age,name')|map(attribute='name')|list
people|sort(attribute='age', reverse=true)|map(attribute='name')|list
people|sort(attribute='tags')|list|length
people|groupby('age')
(people|groupby('age'))[0].grouper
(people|groupby('age'))[0].list|length
people|groupby('tags', default='')|length
people|sum(attribute='age')
people|map(attribute='age')|sum
people|min(attribute='age')
people|max(attribute='name')
people|map(attribute='age')|unique|list
people|unique(attribute='age')|map(attribute='name')|list
ls|sort
ls|sort(case_sensitive=true)
ls|sort(true)
ls|unique|list
ls|unique(true)|list
ls|min
ls|max(case_sensitive=true)
[1, 'a']|sort
[1, 'a']|max
[]|max
[]|min is defined
[]|first
[]|last
[]|first is defined
[]|sum
['a']|sum
[[1], [2]]|sum(start=[])
[1.5, 2]|sum
'42'|int
'42.9'|int
'abc'|int
'abc'|int(-1)
'abc'|int(default=-1)
' 42 '|int
'0x1f'|int
'0x1f'|int(base=16)
'1f'|int(0, 16)
'0b11'|int(0, 2)
'1_000'|int
'1e3'|int
'inf'|int
''|int
42.9|int
-42.9|int
true|int
[]|int
'12345678901234567890123'|int
1e20|int
'3.14'|float
'abc'|float
'abc'|float(1.5)
'1_0.5'|float
'inf'|float
'-Infinity'|float
'nan'|float
'1e500'|float
'.5'|float
'5.'|float
3|float
none|float
big|float
3.7|round
2.5|round
3.5|round
-2.5|round
2.675|round(2)
1234.5|round(-2)
3.14159|round(2)
3.14159|round(2, 'ceil')
3.14159|round(2, 'floor')
3.7|round|int
7|round
7|round(1)
1250|round(-2)
1350|round(-2)
'a'|round
3.7|round(method='x')
-3|abs
-3.5|abs
'a'|abs
true|abs
1|filesizeformat
999|filesizeformat
1000|filesizeformat
1234567|filesizeformat
1234567|filesizeformat(true)
10**25|filesizeformat
json|from_json
(json|from_json).a[1]
'bad'|from_json
'[1, 1.0, 1e2, 12345678901234567890123]'|from_json
d|attr('a')
d|attr('keys') is callable
s|attr('nope')
d|attr('nope')|default('x')
s|length > 5 and s|upper == 'HELLO, WORLD'
s|upper|lower|title
s|upper()
(s|upper)()
(1, 2)|join
'a'.upper()|lower
[1, 2, 3]|map('string')|map('length')|sum
strftime_now('%Y-%m-%d')
strftime_now('%d %b %Y, %A %B %j %H:%M:%S %p %y %a %U %w %%')
strftime_now('%-d/%-m')
strftime_now('')
strftime_now(1)
strftime_now()
raise_exception('no!')
raise_exception('Üñí ' ~ 1)
raise_exception(5)
raise_exception()
raise_exception(message='kw')
undefined_function(1)
s.upper(1)
s.split(a=1)
d.get()
l|join(',', 1, 2, 3)
s|upper(1)
s|replace('a')
s|trim(chars='H')
s|nope|upper
(s, l)[0]
{'a': 1}|length
[1, 2, 3][1:][0]
'abc'[1:][::-1]
[x for x in l]
s.__class__
''.__class__.__mro__
s.__class__ is defined
d.__len__
loop
loop is defined
True
None
True and none
x=1
1 +
(1
1)
[1
'abc
{'a'}
a b
1 2
'a' is
|upper
s|
s.
s..x
s[]
s[1:2:3:4]
s[1,2]
l[(0)]
l[0:1, 2]
*l
f(**d)
not
in
1 in
é
@
$x
`x`
a ? b
a && b
x := 1
s|default(1)|default
"\ud83d\ude80"
"\N{DASH}"
'\xZZ'
namespace(**d)['x y']
dict(**{'a': 1})
dict(*[[('a', 1)]])
range(*[1, 3])|list
'-'.join(*[['a', 'b']])
s.replace(*('l', 'L'))
s.replace(**{'a': 1})
dict(a=1, **{'a': 2})
dict(**l)
dict(a=1, a=2)
(l|sort)[0] + (l|sort)[-1]
l|tojson|length
[l, l]|tojson
[1]*3
'-' * 10
'ab' * 0
'x' * n
(1,) + (2,)
d.items()|map('first')|list
d.items()|map('last')|list
d.items()|list|first|last
d.values()|first
d.keys()|sort
'a=1;b=2'.split(';')|map('upper')|join(' & ')
'%.2f'|format(3.14159)
'abc'|batch(2)|map('join')|list
'abc'|map('upper')|join
'a\nb'|string
1.0|string ~ 1
1e400
-1e400|string
1e400 - 1e400
"é" < "z"
'Z' < 'a'
'' < 'a'
[] or 'empty'
{} or 'empty'
'0' or 'empty'
0.0 or 'zero'
() or 'tuple'
range(0) or 'range'
d.items() or 'x'
ed.items() or 'noitems'
'abc'|select|list
'a,b'.split(',')[1]|upper ~ '!'
(d.a if d.a is defined else 'none')|upper
d.a is defined and d.a is string and d.a|length == 3
[d.a, d.b]|join('/')
people[0].name[0]|lower
people[-1]['name']
people[0].tags[0] if people[0].tags else 'none'
people[1:]|map(attribute='name')|join('+')
(people|first).name
(people|last)['age'] * 2 + 1
'a' in people[0]
'name' in people[0]
people[0].items()|list
people|length - 1
people|tojson(indent=2)
'{}'|from_json
('{"a": {"b": 1}}'|from_json).a.b
'[1, 2'|from_json
5|from_json
'null'|from_json is none
'"\\u00e9\\ud83d\\ude80"'|from_json
'{"a": 1, "a": 2}'|from_json
'  [1 ,2 ]  '|from_json
3 % 2 == 1
(i % 2 == 0) != (i is even)
'a' if i % 2 else 'b'
'yes' if 'x' in d else 'no'
s|default('')|trim
(none|default('', true))|trim
1 == 1 == true
1 != 2 and 2 != 3
i >= 7 and i <= 7
"a" ~ ("b" if t else "c") ~ "d"
'a' ~ 1 + 2
1 + 2 ~ 'a'
2 * 3 ~ 'a'
'a' ~ 2 * 3
-5 // 2 ~ ''
-1|abs
(-1)|abs
- 1|abs
1 - -1
2 ** 3 * 2
10 - 2 ** 2
not 1 + 1
not 1 in [2]
1 is odd and 2 is even
x is not defined
(1 is odd) is true
[1, [2, [3, [4]]]]|string|length
('a', 'b')|last
('a', 'b')[1:]
('a', 'b', 1) == ('a', 'b', 1.0)
'b' in ('a', 'b')
(none, true, 1.0)
'x'.join(('1', '2'))
'%s-%s' % ('a', ('b', 'c'))
'%s' % (('a', 'b'),)
'tuple: %s' % ()
[d.items()|list]|length
s.title().swapcase()
('x' ~ i).zfill(4)
' '.join(['a'] * 3)
'\t'|tojson
'/'|tojson
"\u2028"|tojson
'"'|tojson
0.1|tojson
1.0|tojson
100000000000000000000.0|tojson
[1.0, 2]|string
1e5
1.5e300 * 1e10
5 // 2.0
5 % 2.5
0.1 * 3
1e308 * 10
(0.5)|round
1.5|round
123.456|round(1)
0.15|round(1)
1e22|int
'a' * 3 + 'b'
'a' + 'b' * 2
(s[:5] ~ '...') if s|length > 5 else s
i|float
i|float|string
'7'|int + 1
'7' ~ 1
'Ünïcödé'|upper|lower|capitalize
'日本語テキスト'[1:4]
'日本語'|length
'日本語'|reverse
'日本語'.find('語')
'👩‍🚀'|length
'e\u0301'|length
['日本', '👍']
{'ключ': 'значение'}
{'ключ': 'значение'}|tojson
'ключ' in {'ключ': 1}
{'ключ': 1}.ключ
"Straße".upper()
"ǅ".lower()
"ﬀ".upper()
"ﬀ".title()
"ß".capitalize()
"Σ".lower()
"ΑΣ'Σ.".lower()
"ά".upper()
'\u0149'.title()
'x\u00a0y'.split()
'\u00a0x\u2003'|trim ~ '|'
'\u200bx'|trim|length
'a\x1cb'.split()
'ａ１'.isalnum()
'٣'.isdigit()
'Ⅷ'.isnumeric()
'Ⅷ'.islower()
'ª'.islower()
'\u01c5'.istitle()
'aB'.istitle()
'A1b'.istitle()
'1A'.istitle()
'ʰ'.islower()
'ⓐ'.upper()
'\U00010428'.upper()
'K'.lower()
'ſ'.upper()
'ﬃ'.casefold()
'ẞ'.casefold()
'ẞ'.lower()
'᾿Αι'.swapcase()
'ᾳ'.title()
'Ꭰ'.casefold()
'ꭰ'.casefold()
'''.strip("\n").split("\n")

# Whole templates; a tuple names another context than "data".
TEMPLATES = [
    "", "plain", "a\n", "a\n\n", "\n", "\r\n", "a\r\nb\rc\n", "{{ s }}\n", "{{ s }}\n\n", "{% if t %}x{% endif %}\n",
    "{% if t %}\nx\n{% endif %}\ny\n", "  {% if t %}\n  x\n  {% endif %}\n  y", "a  {% if t %}  b  {% endif %}  c",
    "a\n  {%- if t %}\n  x\n  {%- endif -%}\n  y", "a\n  {%+ if t %}\n  x\n  {%+ endif +%}\n  y",
    "a {{- s -}} b", "a\n\n{{- s -}}\n\nb", "a {{ s }}\n", "  {{ s }}\n  x", "a\n{#- c -#}\nb", "a\n  {# c #}\nb", "a\n  {#+ c +#}\nb",
    "a {# c #} b", "{# {{ x }} {% if %} #}x", "{# unclosed", "{#-#}x", "{# a -#}  \n b", "a  {#- b #}", "{##}x", "{#}x", "{# +#}\nx", "{# --#}\nx",
    "{% raw %}{{ x }}{% endraw %}", "{% raw %}\n{{ x }}\n{% endraw %}\ny", "  {% raw %}  {{ x }}  {% endraw %}  y",
    "a\n  {%- raw -%}\n  {{ x }}\n  {%- endraw -%}\n  y", "{% raw %}x", "{%raw%}{% endra %}{%endraw%}", "{%+ raw %} x {%+ endraw +%}\ny",
    "{% raw %}\n  {% endraw %}x", "\n  {% raw %}x\n  {% endraw %}\n", "{% endraw %}", "{{ '{{' }}", "{{ '}}' }}", "{{ {'a': {'b': 1}} }}", "{{ {'a': {'b': 1}}}}",
    "{ x } {a} { { % }", "{", "a{", "{{", "{%", "{{ s", "{% if t", "}} %}", "{{ }}", "{% %}", "{{}}", "{%%}", "{{ s }", "{{ s %}", "{% if t }}x{% endif %}",
    "{{ (1 }}", "{{ 1) }}", "{{ [1) }}", "{{s}}{{s}}", "{{-s-}}", "{{ s\n}}\n\n", "x{{ s }}\n\n y", "{%- if t -%} \u00a0 x \u2003 {%- endif -%}",
    "\u00a0{% if t %}x{% endif %}", "\t {% if t %}x{% endif %}", "x\n\u00a0{% if t %}x{% endif %}", "a\x0b{%- if t %}x{% endif %}",
    "{% if t %}{% endif %}\n\nx", "{% if t %}\r\nx{% endif %}", "{# c #}\n\nx", "{{ s }}{# c #}\n", "x {% if t -%}\n\n y {% endif %}", "line{% if t %}\n  \n{% endif %}  \nend",
    "{% if t %}1{% elif f %}2{% else %}3{% endif %}", "{% if f %}1{% elif t %}2{% else %}3{% endif %}", "{% if f %}1{% elif f %}2{% else %}3{% endif %}",
    "{% if f %}1{% elif f %}2{% elif i == 7 %}4{% else %}3{% endif %}", "{% if t: %}x{% endif %}", "{% if 1, 2 %}x{% endif %}", "{% if %}x{% endif %}", "{% if t %}x", "{% if t %}x{% else %}y{% else %}z{% endif %}",
    "{% endif %}", "{% else %}", "{% unknown %}", "{% 5 %}", "{% if t %}{% endfor %}", "{% if t %}x{% endif t %}", "{% if t if t else f %}x{% endif %}",
    "{% if undefined_thing %}x{% else %}y{% endif %}", "{% if undefined_thing.x %}x{% else %}y{% endif %}", "{% if l %}x{% endif %}{% if empty %}y{% endif %}",
    "{% for x in l %}{{ x }},{% endfor %}", "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for x in l %}{{ loop.previtem.z }}{% endfor %}", "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in l %}{{ loop.cycle() }}{% endfor %}", "{% for x in [1,1,2,2,1] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in l %}{{ loop.nope }}{% endfor %}", "{% for x in l %}{{ loop }}{% endfor %}", "{% for x in l %}{% set loop = 1 %}{% endfor %}", "{% for loop in l %}{% endfor %}", "{% for x in l %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in empty %}{{ x }}{% else %}none{% endfor %}", "{% for x in l %}{% continue %}{% else %}none{% endfor %}", "{% for x in l %}{% break %}{% else %}none{% endfor %}", "{% for x in undefined_thing %}x{% else %}none{% endfor %}",
    "{% for x in n %}x{% endfor %}", "{% for x in i %}x{% endfor %}", "{% for x in s %}{{ x }}.{% endfor %}", "{% for x in d %}{{ x }}.{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d|items %}{{ loop.last }}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d.items() %}{{ loop.length }}{{ loop.last }}{% endfor %}", "{% for a, b in [[1, 2], (3, 4), 'xy'] %}{{ a }}{{ b }};{% endfor %}",
    "{% for a, b in [[1, 2, 3]] %}{% endfor %}", "{% for a, b in [[1]] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}", "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for (a, b) in [[1, 2]] %}{{ a }}{{ b }}{% endfor %}", "{% for a, in [[1]] %}{{ a }}{% endfor %}",
    "{% for x in 1, 2, 3 %}{{ x }}{% endfor %}", "{% for x in l if x > 1 %}{{ x }}{{ loop.index }}{{ loop.last }}{{ loop.length }},{% endfor %}", "{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}", "{% for x in l if loop.index > 1 %}{{ x }}{% endfor %}",
    "{% for x in l if x != 1 %}{{ loop.previtem }}-{{ x }}-{{ loop.nextitem }};{% endfor %}", "{% for p in people if p.tags is defined and p.tags %}{{ p.name }}{% endfor %}", "{% for x in l if x > 1 else y %}{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{% for x in l %}{% set outer = loop %}{% for y in 'ab' %}{{ outer.index }}{{ y }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}", "{% break %}", "{% if t %}{% continue %}{% endif %}", "{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "{% for x in l %}{% for y in l %}{% break %}{% endfor %}{{ x }}{% endfor %}",
    "{% for x in l|reverse %}{{ x }}{{ loop.length }}{{ loop.last }}{% endfor %}", "{% for x in l|select('odd') %}{{ loop.length }}{{ x }}{{ loop.revindex }}{% endfor %}", "{% for x in l|map('string') %}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}", "{% set g = l|select('odd') %}{{ g|list }}{{ g|list }}", "{% set g = l|map('string') %}{% for x in g %}{{ x }}{% break %}{% endfor %}{{ g|list }}",
    "{% for item in nested recursive %}{% if item is iterable and item is not string and item is not mapping %}[{{ loop(item) }}]{% else %}{{ item }}@{{ loop.depth }}{% endif %}{% endfor %}", "{% for x in l %}{{ loop(l) }}{% endfor %}", "{% for x in l recursive %}{{ x }}{% if loop.depth < 3 %}({{ loop(l[:1]) }}){% endif %}{% endfor %}", "{% for x in [[1],[2,[3]]] recursive %}{% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}{{ loop.depth0 }}{% endif %}{% else %}-{% endfor %}",
    "{% for x in l %}{{ x }}{% endfor %}{{ x }}", "{% set x = 9 %}{% for x in l %}{{ x }}{% endfor %}{{ x }}", "{% set x = 0 %}{% for y in l %}{% set x = x + y %}{{ x }}{% endfor %}{{ x }}", "{% for y in l %}{{ x }}{% set x = y %}{{ x }}{% endfor %}{{ x }}", "{% set ns = namespace(x=0) %}{% for y in l %}{% set ns.x = ns.x + y %}{% endfor %}{{ ns.x }}",
    "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}", "{% set d.x = 1 %}", "{% set undefined_thing.x = 1 %}", "{% set ns = namespace(a=1) %}{% set ns.b = ns %}{{ ns.b.b.a }}", "{% set ns = namespace(a=1) %}{% set ns['a'] = 2 %}", "{% set ns = namespace(l=[]) %}{% for x in l %}{% set ns.l = ns.l + [x] %}{% endfor %}{{ ns.l }}", "{% set ns = namespace(d={}) %}{% for x in l %}{% set ns.d = dict(ns.d, **{'k' ~ x: x}) %}{% endfor %}{{ ns.d }}{{ ns }}",
    "{% set a = 1 %}{{ a }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a, b = [1] %}", "{% set a = 1, 2 %}{{ a }}", "{% set (a, b) = 'xy' %}{{ a }}{{ b }}", "{% set a = b = 1 %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% set a.b.c = 2 %}", "{% set a[0] = 2 %}", "{% set a %}", "{% set a = %}", "{% set a = 1 if f %}{{ a is defined }}",
    "{% if t %}{% set a = 1 %}{% endif %}{{ a }}", "{% if f %}{% set a = 1 %}{% endif %}{{ a }}", "{% if f %}{% set s = 1 %}{% endif %}{{ s }}", "{% if t %}{% set s = 1 %}{% endif %}{{ s }}", "{{ s }}{% set s = 1 %}{{ s }}", "{% set s = s ~ '!' %}{{ s }}", "{% for x in l %}{% if x == 1 %}{% set s = x %}{% endif %}{{ s }},{% endfor %}{{ s }}", "{% for x in l %}{% set s = s ~ x %}{{ s }},{% endfor %}{{ s }}",
    "{% if f %}{% set zz = 1 %}{% else %}{% set zz = 2 %}{% endif %}{{ zz }}", "{% set a %}x{{ s }}y{% endset %}[{{ a }}]", "{% set a | upper %}x{{ s }}y{% endset %}[{{ a }}]", "{% set a | replace('x', s) | trim %}x{{ s }}y {% endset %}[{{ a }}]", "{% set a %}{% set b = 1 %}{{ b }}{% endset %}{{ a }}{{ b }}", "{% set ns = namespace() %}{% set ns.a %}block{% endset %}{{ ns.a }}", "{% set a %}{% endset %}{{ a is string }}{{ a|length }}", "{% set a %}x", "{% for x in l %}{% set a %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endset %}{{ a }}{% endfor %}!",
    "{% set a %}<b>{% endset %}{{ a }}{{ a is escaped }}", "{% filter upper %}x{{ s }}{% endfilter %}", "{% filter upper | replace('X', 'y') %}x{{ s }}{% endfilter %}", "{% filter nope %}x{% endfilter %}", "{% filter replace('a', 'b') %}aaa{% set s = 1 %}{{ s }}{% endfilter %}{{ s }}", "{% filter indent(2) %}a\nb{% endfilter %}", "{% filter trim %}  a {% endfilter %}|",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a }}", "{% with a = 1, b = a %}{{ b }}{% endwith %}", "{% set a = 5 %}{% with a = a + 1 %}{{ a }}{% endwith %}{{ a }}", "{% with a, b = 1, 2 %}{{ a }}{% endwith %}",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=5, a=4) }}{{ m() }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}", "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "{% macro m(a) %}{% endmacro %}{{ m(1, a=2) }}", "{% macro m(a, a) %}{% endmacro %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% macro m %}{% endmacro %}", "{% macro m() %}x",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}", "{% macro m(a) %}{{ a }}{{ varargs }}{% endmacro %}{{ m(1, 2, 3) }}{{ m(1) }}", "{% macro m(a) %}{{ kwargs.b }}{% endmacro %}{{ m(1, b=3) }}", "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(1) }}", "{% macro m(a=b, b=1) %}{{ a }}{% endmacro %}{{ m() }}", "{% macro m(a=[]) %}{{ a }}{% endmacro %}{{ m() }}{{ m([1]) }}", "{% macro m() %}{{ s }}{% endmacro %}{{ m() }}", "{% macro m() %}{{ q }}{% endmacro %}{% set q = 1 %}{{ m() }}", "{% set q = 1 %}{% macro m() %}{% set q = 2 %}{{ q }}{% endmacro %}{{ m() }}{{ q }}", "{{ m() }}{% macro m() %}x{% endmacro %}", "{% if f %}{% macro m() %}x{% endmacro %}{% endif %}{{ m() }}",
    "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}", "{% macro m(x) %}{{ x|upper }}{% endmacro %}{{ m('a') ~ m('b') }}{{ m('x')|length }}", "{% macro m() %} x {% endmacro %}[{{ m()|trim }}]", "{% macro m() %}<b>{% endmacro %}{{ m()|e }}{{ m() is escaped }}", "{{ m }}{% macro m(a) %}{% endmacro %}{{ m }}{{ m.name }}{{ m is callable }}", "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m() %}{{ loop }}{% endmacro %}{% for x in l %}{{ m() }}{% endfor %}", "{% for x in l %}{% macro m() %}{{ loop.index }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m(a) %}{{ a }}{{ caller() }}{% endmacro %}{% call m(1) %}body{{ s }}{% endcall %}", "{% macro m() %}{{ caller('x', 2) }}{% endmacro %}{% call(a, b=3) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m(caller) %}{{ caller() }}{% endmacro %}", "{% macro m(caller=none) %}{{ caller is none }}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}", "{% call m %}{% endcall %}", "{% macro m(n) %}{% if n %}{% call m(n-1) %}{{ caller() }}{% endcall %}{% else %}{{ caller() }}{% endif %}{% endmacro %}{% call m(2) %}x{% endcall %}", "{% macro a() %}[{{ caller() }}]{% endmacro %}{% macro b() %}<{% call a() %}in{% endcall %}>{% endmacro %}{% call b() %}x{% endcall %}",
    "{% if f %}{% if t %}{% set s = 1 %}{% endif %}{% endif %}{{ s }}", "{% if f %}{{ s }}{% else %}{% set s = 1 %}{% endif %}{{ s }}", "{% for x in l %}{% if f %}{% set s = 1 %}{% endif %}{{ s }}{% set s = 2 %}{% endfor %}{{ s }}", "{% macro g() %}{{ s }}{% endmacro %}{{ g() }}{% set s = 1 %}{{ g() }}", "{% macro g() %}{{ s }}{% endmacro %}{{ g() }}{% if t %}{% set s = 1 %}{% endif %}{{ g() }}", "{% macro g() %}{{ zz }}{% endmacro %}{% for x in l %}{% set zz = x %}{{ g() }}{% endfor %}", "{% set s %}{{ s }}{% endset %}{{ s }}", "{% with s = s %}{{ s }}{% set s = 1 %}{{ s }}{% endwith %}{{ s }}", "{% for s in s %}{{ s }}{% endfor %}{{ s }}", "{% for x in l if s %}{{ s }}{% set s = x %}{% endfor %}", "{% set l = [s] %}{% for s in l %}{{ s }}{% else %}{{ s }}{% endfor %}", "{% for x in empty %}{% else %}{% set s = 1 %}{{ s }}{% endfor %}{{ s }}", "{% macro m(s) %}{{ s }}{% if t %}{% set s = 1 %}{% endif %}{{ s }}{% endmacro %}{{ m(5) }}{{ m() }}", "{% if t %}{% macro m() %}a{% endmacro %}{% else %}{% macro m() %}b{% endmacro %}{% endif %}{{ m() }}", "{% filter upper %}{% set q = 'x' %}{{ q }}{% endfilter %}{{ q }}", "{% call s.upper() %}x{% endcall %}", "{% set q = 1 %}{% macro m() %}{% set q = 5 %}{{ caller() }}{% endmacro %}{% call m() %}{{ q }}{% endcall %}",
    "{% generation %}a{{ s }}{% endgeneration %}", "{% for x in l %}{% generation %}{{ x }}{% set s = x %}{% endgeneration %}{{ s }}{% endfor %}", "{% for x in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}", "x\n  {% generation %}\n  a\n  {% endgeneration %}\ny", "{%- generation -%} a {%- endgeneration -%}", "{% generation %}",
    "{% include 'x' %}", "{% if f %}{% include 'x' %}{% endif %}ok", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}", "{% do l.append(1) %}", "{% print s %}", "{% print s, i %}", "{% trans %}x{% endtrans %}", "{% debug %}",
    "{% set x = l.append(1) %}", "{% if l.append %}x{% else %}y{% endif %}", "{% set j = joiner('|') %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}", "{% set j = joiner() %}{{ j() }}{{ j() }}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set _ = c.reset() %}{{ c.next() }}",
    "{% if f %}{{ s|nope }}{% endif %}ok", "{{ s|nope if f else 'ok' }}", "{% if f %}{{ s is nope }}{% endif %}ok", "{% if f %}{% for x in l %}{{ s|nope }}{% endfor %}{% endif %}ok", "{% if t %}{{ s|nope }}{% endif %}ok", "{% for x in empty %}{{ x|nope }}{% endfor %}", "{% if f and s|nope %}{% endif %}ok", "{% macro m() %}{{ 1|nope }}{% endmacro %}x",
    "{% set x = 1 %}{% macro m(y=x) %}{{ y }}{% endmacro %}{% set x = 2 %}{{ m() }}", "{% macro m(x=s) %}{{ x }}{% set s = 1 %}{{ s }}{% endmacro %}{{ m() }}", "{% for i in l %}{{ i }}{% endfor %}{{ i }}", "{% for x in l %}{% set i = i + x %}{{ i }} {% endfor %}{{ i }}", "{% for x in l %}{% for y in l %}{% set i = i + y %}{% endfor %}{{ i }} {% endfor %}", "{% for x in l %}{% if loop.first %}{% set q = 'f' %}{% else %}{% set q = 'o' %}{% endif %}{{ q }}{% endfor %}{{ q }}", "{% for x in l %}{% if loop.first %}{% set q = 'f' %}{% endif %}{{ q }}{% endfor %}", "{% set q = 'z' %}{% for x in l %}{% if loop.first %}{% set q = 'f' %}{% endif %}{{ q }}{% endfor %}", "{% set q = 'z' %}{% for x in l %}{{ q }}{% set q = x %}{{ q }}{% endfor %}{{ q }}",
    "{% set x %}{% for y in l %}{{ y }}{% endfor %}{% endset %}{{ x }}", "{% for x in l %}{% with s = x %}{{ s }}{% endwith %}{{ s }}{% endfor %}", "{% set a = 1 %}{% set b = a + 1 %}{% set a = b %}{{ a }}{{ b }}", "{% set a = [] %}{% for x in l %}{% set a = a + [x] %}{% endfor %}{{ a }}", "{{ '%s' % s }}\n{{- ' tail' }}", "{% set f = s.upper %}{{ f() }}", "{% set g = d.items %}{{ g()|list }}", "{{ s.upper is callable }}{{ d.get is callable }}", "{% for c in s.split(', ') %}{{ c }}{{ ';' if not loop.last }}{% endfor %}", "{% set z = namespace(v=1) %}{% macro inc() %}{% set z.v = z.v + 1 %}{% endmacro %}{{ inc() }}{{ inc() }}{{ z.v }}", "{% macro inc() %}{% set z.v = 2 %}{% endmacro %}{{ inc() }}",
    "{{ raise_exception('a' ~ s) }}", "{% if i > 3 %}{{ raise_exception('big') }}{% endif %}", "{% for x in l %}{% if x == 2 %}{{ raise_exception('at ' ~ loop.index) }}{% endif %}{% endfor %}", "{% set _ = raise_exception(undefined_thing) %}", "{% macro m() %}{{ raise_exception('in macro') }}{% endmacro %}{% set x %}{{ m() }}{% endset %}", "{{ (raise_exception if f else s.upper)() }}",
    "{% if t %}\n  a\n{%- else %}\n  b\n{% endif %}\n  c", "{%- for x in l -%}\n  {{ x }}\n{%- endfor -%}\n", "{% for x in l %}\n  {{- x }}\n{% endfor %}\nend", "{%- set x = 1 -%}\n\n{{ x }}", "{% set x = 1 %}\n\n{{ x }}", "{{ s -}}\n\n\nx", "x\n\n{{- s }}", "x\n   {%- set a = 1 %}\n   y", "  {%- set a = 1 %}  y", "\n\n{% set a = 1 %}\n\ny", "a\n\t{% if t %}\n\tb\n\t{% endif %}\n", "a {% if t %}\n b {% endif %}\n", "{{ 1 }}  {% if t %}\n{% endif %}", "{{ 1 }}\n  {% if t %}\n{% endif %}", "{% if t %}{% endif %}  {% if t %}x{% endif %}", "{% if t %}\n  {% endif %}  {% if t %}x{% endif %}",
]

CHAT_TEMPLATES = [
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' }}{% if m['content'] is string %}{{ m['content'] + eos_token }}{% elif m.content %}{% for p in m.content if p.type == 'text' %}{{ p.text }}{% endfor %}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
    "{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}",
    "{%- if messages[0]['role'] == 'system' -%}{%- set system = messages[0]['content'] -%}{%- set loop_messages = messages[1:] -%}{%- else -%}{%- set loop_messages = messages -%}{%- endif -%}{{ bos_token ~ system }}{%- for m in loop_messages -%}{{ loop.index0 }}{{ m.role }}{%- endfor -%}",
    "{%- for t in tools %}{{ t | tojson(indent=4) }}{% endfor %}", "{{ tools | tojson }}", "{{ tools }}", "{{ messages }}", "{{ messages[2].tool_calls[0].function.arguments | tojson }}", "{{ messages[2].tool_calls[0].function }}",
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{{ ns.last }}",
    "{% for m in messages[::-1] %}{{ m.role }}{% if m.role == 'assistant' and m.content and '</think>' in m.content %}{{ m.content.split('</think>')[-1].lstrip('\n') }}|{{ m.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}{% endif %}{% endfor %}",
    "{% macro render(spec) %}{% if spec.type == 'object' %}{ {% for k, v in spec.properties.items() %}{{ k }}{{ '' if k in spec.required else '?' }}: {{ render(v) }}{{ ', ' if not loop.last }}{% endfor %} }{% elif spec.type is string %}{{ spec.type }}{% if spec.enum %}({{ spec.enum|join('|') }}){% endif %}{% else %}{{ spec.type|join('|') }}{% endif %}{% endmacro %}{{ render(tools[0].function.parameters) }}",
    "{% for m in messages if m.role != 'system' %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate: ' ~ m.role) }}{% endif %}{% endfor %}",
    "{% set tool_calls = messages | selectattr('tool_calls', 'defined') | list %}{{ tool_calls | length }}{{ tool_calls[0].tool_calls | map(attribute='function.name') | join(',') }}",
    "{{ messages | map(attribute='role') | join(' ') }}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first }}",
    "{%- if tools is not none and tools %}has{% endif %}{% if documents is defined %}docs{% endif %}{% if not documents %}nodocs{% endif %}",
    "{% for m in messages %}{% if not loop.first and loop.previtem.role == m.role %}same{% endif %}{% if loop.nextitem is defined and loop.nextitem.role == 'tool' %}beforetool{% endif %}{{ loop.nextitem.role if not loop.last else 'end' }}{% endfor %}",
    "{% for name, p in tools[0].function.parameters.properties|dictsort %}{{ name }}:{{ p|tojson }}{% endfor %}", "{{ messages[9] }}{{ messages[9] is defined }}", "{{ messages[9].role }}", "{{ messages[0].nope }}{{ messages[0].nope is none }}", "{{ messages[0].content.strip().split('.')|length }}",
    "{{- bos_token }}\n{%- for m in messages %}\n    {%- if m.role == 'user' %}\n        {{- '[INST] ' + m.content + ' [/INST]' }}\n    {%- elif m.role == 'assistant' and m.content is not none %}\n        {{- m.content|trim + eos_token }}\n    {%- endif %}\n{%- endfor %}\n",
    "{% set content = messages[3].content %}{% if content is string %}s{% elif content is mapping %}m{% elif content is iterable %}{% for c in content %}{{ c.type }}{{ c['text'] if 'text' in c }}{% endfor %}{% endif %}",
    "{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}{% endfor %}", "{{ 'Today: ' + strftime_now('%d %B %Y') }}", "{% if strftime_now is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% else %}{% set date_string = '26 Jul 2024' %}{% endif %}{{ date_string }}",
    "{% if not date_string is defined %}{% set date_string = 'x' %}{% endif %}{{ date_string }}", "{% for key in messages[2] %}{{ key }},{% endfor %}{% for key in messages[2].keys() %}{{ key }},{% endfor %}", "{{ messages[0] | items | list }}", "{{ messages[2].tool_calls | tojson(indent=2, ensure_ascii=true, sort_keys=true) }}",
]


def all_cases():
    for expression in EXPRESSIONS:
        yield "{{ " + expression + " }}", "data"
    for template in TEMPLATES:
        yield template, "data"
    for template in CHAT_TEMPLATES:
        yield template, "chat"
