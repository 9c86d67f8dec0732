# A Docker Space, or any machine with Docker:
#   docker build -t qlora-studio .
#   docker run -p 7860:7860 -e STUDIO_PASSWORD=choose-one -e STUDIO_HOME=/data -v studio:/data qlora-studio
# torch's default wheel uses an NVIDIA GPU and contains CUDA, about 5 GB; the wheel for the CPU has a fifth of that size:
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu -t qlora-studio .
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 studio && mkdir /data && chown studio /data
USER studio
ENV HOME=/home/studio PATH=/home/studio/.local/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

WORKDIR /home/studio/app
COPY --chown=studio requirements.txt .
ARG TORCH_INDEX=
RUN if [ -n "$TORCH_INDEX" ]; then \
      pip install --no-cache-dir --user --index-url "$TORCH_INDEX" "$(grep '^torch==' requirements.txt)"; fi \
    && pip install --no-cache-dir --user -r requirements.txt
COPY --chown=studio core core
# The embedded model is part of the image, so that the first run needs no download.
RUN STUDIO_HOME=/home/studio/image python -m core models prepare
ENV STUDIO_EMBEDDED=/home/studio/image/models/smollm2-135m-instruct
COPY --chown=studio components components
COPY --chown=studio studio studio
# The optional packages can be installed in the running image, as the messages about them say.
COPY --chown=studio app.py README.md requirements-lm-eval.txt requirements-bert-score.txt requirements-mcp.txt requirements-llama-cpp.txt requirements-signing.txt ./

EXPOSE 7860
HEALTHCHECK --start-period=60s CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/healthz', timeout=5)"
CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
