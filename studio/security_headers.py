"""Headers of every answer that restrict what the browser may load and who may frame the page."""

from core.settings import on_space

_FRAME_ANCESTORS = "'self' https://huggingface.co https://*.huggingface.co" if on_space() else "'self'"
# Gradio's page contains inline scripts and styles and compiles templates; nothing comes from another host.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    f"frame-ancestors {_FRAME_ANCESTORS}"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
