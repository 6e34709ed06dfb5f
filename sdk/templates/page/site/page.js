// The function is at /greet, on the server that this page is from.
document.getElementById("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = document.getElementById("answer");
    try {
        const reply = await fetch("greet", { method: "POST", body: document.getElementById("name").value });
        const text = await reply.text();
        answer.textContent = reply.ok ? text : JSON.parse(text).error.message;
    } catch (error) {
        answer.textContent = "The server does not answer: " + error.message;
    }
});
