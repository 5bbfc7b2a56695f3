# A machine that trains on the CPU:
#   docker build -t rllib-qatten .
#   docker run --rm --init --shm-size 2g -v "$PWD/runs:/runs" rllib-qatten \
#     train -f qatten_3s5z --storage-path /runs
# For an NVIDIA GPU, build with --build-arg TORCH=https://download.pytorch.org/whl/cu128 and run with
# --gpus all.
FROM python:3.11-slim

ARG TORCH=https://download.pytorch.org/whl/cpu
ARG EXTRAS=smax,report

ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

WORKDIR /src
# Before the sources, so that a change of these does not download them again.
COPY constraints.txt ./
RUN pip install -c constraints.txt --index-url "$TORCH" torch

COPY setup.py setup.cfg pyproject.toml MANIFEST.in README.md LICENSE CHANGELOG.md ./
COPY rllib_qatten rllib_qatten
COPY tuned_examples tuned_examples
COPY zoo zoo
RUN pip install -c constraints.txt ".[$EXTRAS]" && rm -rf /src/*

# Runs belong to nobody's root.
RUN useradd --uid 1000 --create-home trainer && mkdir /runs && chown trainer /runs
USER 1000
WORKDIR /runs
# exec form: SIGTERM reaches the command, which then writes a checkpoint.
ENTRYPOINT ["rllib"]
CMD ["--help"]
