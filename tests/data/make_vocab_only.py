"""make_vocab_only.py MODEL.gguf OUT.gguf: a GGUF file with the metadata of MODEL and no tensors.

Needs the Python package `gguf`. tests/data/tokenizers/smollm2.gguf.xz was made so from
SmolLM2-135M-Instruct.Q4_1.gguf and compressed with `xz -9`.
"""
import sys

import gguf

reader = gguf.GGUFReader(sys.argv[1])
writer = gguf.GGUFWriter(sys.argv[2], arch=reader.fields["general.architecture"].contents())
for name, field in reader.fields.items():
    if name.startswith("GGUF.") or name == "general.architecture":
        continue
    element = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
    writer.add_key_value(name, field.contents(), field.types[0], sub_type=element)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()
