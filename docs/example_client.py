"""Example client of the API: create a subset, train on it, and ask the base and the tuned model.

    python docs/example_client.py http://127.0.0.1:7860

With a password, give `auth=("studio", "…")`; on a Space of your own, `token="hf_…"` of an account that may sign in.
"""

import sys
import time

from gradio_client import Client


def loop(client: Client, name: str, question: str, **settings) -> list[dict]:
    """Create a subset, train on it, and return the answers of the base and the tuned model.

    Args:
        client: A client that is connected to the studio.
        name: Name of the subset.
        question: Question for both models.
        settings: The run's settings, as `docs/api.md` lists them under /start_run; those left out have their defaults.
            With accept_warnings=True it starts in spite of warnings, for example that rows are truncated.
    """
    bundled = next(d for d in client.predict(api_name="/list_datasets") if d["source"] == "keeper")
    client.predict(bundled["id"], api_name="/choose_dataset")
    client.predict(name=name, rows=40, method="first", api_name="/create_subset")
    run = client.predict(subset=name, **settings, api_name="/start_run")["value"]

    known, status = 0, "queued"
    while status in ("queued", "preparing", "running", "stopping"):
        time.sleep(1)
        events = client.predict(run, known, api_name="/run_events")
        known += len(events)
        for event in events:
            if event["event"] == "step":
                print(f"step {event['step']}: loss {event['loss']:.3f}")
        status = next(r["status"] for r in client.predict(api_name="/list_runs") if r["id"] == run)
    if status != "finished":
        sys.exit(f"The run {run} is {status}. The Train tab shows the reason.")
    return client.predict(question, ["base", run], {"max_new_tokens": 40}, api_name="/chat")


if __name__ == "__main__":
    for answer in loop(Client(sys.argv[1]), "from-a-program", "What is a tide?", max_steps=4):
        print(f"\n{answer['model']}: {answer['text']}")
