#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What each instruction of the contracts is from, by the compiler's source map: for check.py.

usage: sourcemap.py TRACE.json CONTRACTS.sol
"""
import bisect, json, sys

out = json.load(open(sys.argv[1]))["solc"]
source = open(sys.argv[2], "rb").read()
starts = [0] + [i + 1 for i, c in enumerate(source) if c == 10]
(file,) = out["contracts"]
functions = {}


def collect(node, contract):
    if isinstance(node, list):
        for n in node:
            collect(n, contract)
    elif isinstance(node, dict):
        kind = node.get("nodeType")
        if kind == "ContractDefinition":
            contract = node["name"]
        if kind == "FunctionDefinition" or (kind == "VariableDeclaration" and node.get("stateVariable")):
            functions[node["src"]] = f"{contract}.{node['name'] or node['kind']}"
        for n in node.values():
            collect(n, contract)


collect(out["sources"][file]["ast"], "")


def decode(code):
    data, table, pc = bytes.fromhex(code["object"]), {}, 0
    s = l = f = j = ""
    for entry in code["sourceMap"].split(";"):
        fields = entry.split(":") + [""] * 5
        s, l, f, j = (new or old for new, old in zip(fields, (s, l, f, j)))
        line = bisect.bisect_right(starts, int(s)) if f == "0" else 0
        table[pc] = line, j, functions.get(f"{s}:{l}:0") if f == "0" else None, data[pc] in (0x56, 0x57)
        pc += data[pc] - 0x5E if 0x60 <= data[pc] <= 0x7F else 1
    return table


print(json.dumps({name: {"creation": decode(c["evm"]["bytecode"]), "runtime": decode(c["evm"]["deployedBytecode"])}
                  for name, c in out["contracts"][file].items()}))
