// The function is at /classify, on the server that this page is from.
document.getElementById("picture").addEventListener("change", async (event) => {
    const answer = document.getElementById("answer");
    answer.textContent = "...";
    try {
        const reply = await fetch("classify", { method: "POST", body: event.target.files[0] });
        const text = await reply.text();
        answer.textContent = reply.ok ? text : JSON.parse(text).error.message;
    } catch (error) {
        answer.textContent = "The server does not answer: " + error.message;
    }
});
