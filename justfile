# The recipes of the project. `./dev RECIPE` installs what they need first.

default:
    @just --list

# one deployment to 50 simulated devices, all on this machine
demo *ARGS:
    fuota demo {{ARGS}}

# everything that has to hold before a change lands
test: check

# format, lint, types, import rules, generated code, tests: four at a time, for those with processes mostly wait
check: lint types imports (generate "--check")
    pytest -n 4 --maxschedchunk 1 -m "not alone"
    pytest -n 2 -m alone

lint:
    ruff format --check .
    ruff check .

types:
    mypy

imports:
    lint-imports

# make fuota/generated from proto/; with --check only see whether it is stale
generate *ARGS:
    python proto/generate.py {{ARGS}}

# draw the machines of docs/machines.md from their code; with --check only see whether they are stale
diagrams *ARGS:
    python docs/draw.py {{ARGS}}

# random faults against whole deployments in virtual time: just soak --seeds 100 --deployments 6 --devices 20
soak *ARGS:
    python -m tests.soak {{ARGS}}

# hostile input, a million of it: just fuzz --inputs 100000 --target gRPC
fuzz *ARGS:
    python -m tests.fuzz {{ARGS}}

# apply what the formatter and the linter can mend
fix:
    ruff format .
    ruff check --fix .
