# A machine that trains:
#   docker build -t rllib-qatten --build-arg TORCH_INDEX=ADDRESS .
#   docker run --rm --init --shm-size 2g -v "$PWD/runs:/runs" rllib-qatten \
#     train -f qatten_3s5z --storage-path /runs
# ADDRESS is what pytorch.org/get-started/locally shows as the index of pip for your machine: the CPU
# build makes a small image. Without it pip's default is taken, with CUDA: run with --gpus all.
FROM python:3.11-slim

ARG TORCH_INDEX=
ARG EXTRAS=smax,report

ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

WORKDIR /src
# Before the sources, so that a change of these does not download them again.
COPY constraints.txt ./
RUN pip install -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch

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
