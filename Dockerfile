# SPDX-License-Identifier: Apache-2.0
# mcutrain with its cross compiler and emulator. Build it in a checkout and use it in any folder:
#   docker build -t mcutrain .
#   docker run --rm -v "$PWD:/work" mcutrain train model.tflite --data samples.npz
FROM python:3.12-slim-bookworm

RUN apt-get update -q \
    && apt-get install -y -q --no-install-recommends \
        gcc g++ libc6-dev gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm \
    && rm -rf /var/lib/apt/lists/*

COPY . /src
RUN pip install --no-cache-dir "/src[all]" && rm -rf /src

# What is built goes where any user may write, so that `--user` works.
ENV MCUTRAIN_CACHE=/cache
RUN mkdir -m 1777 /cache
WORKDIR /work
ENTRYPOINT ["mcutrain"]
CMD ["--help"]
