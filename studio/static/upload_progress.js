// Shows how far an upload is, below the name of the file: bytes, time left, and a bar (studio/static/theme.css).
//
// Gradio 6.31 writes the share of the bytes that the server has received into the document's CSS variable
// --upload-progress-width, but shows only a ring that does not move.
(() => {
  const WIDTH = '--upload-progress-width';
  let size = 0, began = 0;

  function begin(files) {
    if (!files?.length) return;
    size = [...files].reduce((sum, file) => sum + file.size, 0);
    began = performance.now();
  }
  window.addEventListener('change', event => begin(event.target.files), true);
  window.addEventListener('drop', event => begin(event.dataTransfer?.files), true);

  const megabytes = bytes => (bytes / 2 ** 20).toFixed(1);

  function describe(share) {
    const text = `${megabytes(share * size)} of ${megabytes(size)} MiB`;
    const seconds = (performance.now() - began) / 1000;
    if (seconds < 1 || share <= 0 || share >= 1) return text;
    const left = seconds * (1 - share) / share;
    return `${text}, about ${left < 55 ? `${Math.max(1, Math.round(left))} s` : `${Math.round(left / 60)} min`} left`;
  }

  new MutationObserver(() => {
    const share = parseFloat(document.documentElement.style.getPropertyValue(WIDTH)) / 100;
    if (!size || !Number.isFinite(share)) return;
    for (const words of document.querySelectorAll('.uploading')) words.dataset.uploaded = describe(share);
  }).observe(document.documentElement, {attributes: true, attributeFilter: ['style']});
})();
