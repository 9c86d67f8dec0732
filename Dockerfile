# A Docker Space, or any machine with Docker: docker build -t qlora-studio . && docker run -p 7860:7860 \
#   -e STUDIO_PASSWORD=choose-one -v studio:/data qlora-studio
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 studio
USER studio
ENV HOME=/home/studio PATH=/home/studio/.local/bin:$PATH PYTHONUNBUFFERED=1 \
    STUDIO_HOME=/home/studio/studio

WORKDIR /home/studio/app
COPY --chown=studio requirements.txt .
RUN pip install --no-cache-dir --user -r requirements.txt
COPY --chown=studio core core
# the embedded model is part of the image, so that the first click works without a download
RUN python -m core models prepare
COPY --chown=studio components components
COPY --chown=studio studio studio
COPY --chown=studio app.py README.md ./

EXPOSE 7860
HEALTHCHECK --start-period=60s CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/', timeout=5)"
CMD ["python", "app.py", "--host", "0.0.0.0", "--port", "7860"]
