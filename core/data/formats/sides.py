"""Words for the two sides of a conversation of people: customer and agent, patient and doctor."""

# Who asks and who answers; which of them is which is certain only to the reader of the file.
ASKING = frozenset(
    ("customer", "client", "end-user", "end_user", "enduser", "end user", "requester", "visitor", "caller", "patient",
     "student", "seeker", "guest", "buyer", "contact", "lead", "consumer", "shopper", "member", "citizen", "incoming",
     "inbound", "usuario", "cliente", "kunde", "client_message", "用户", "客户", "顧客", "고객", "клиент")
)  # fmt: skip
ANSWERING = frozenset(
    ("agent", "operator", "support", "staff", "admin", "representative", "rep", "advisor", "adviser", "doctor",
     "therapist", "teacher", "tutor", "counselor", "counsellor", "service", "seller", "employee", "moderator",
     "helpdesk", "team", "expert", "salesperson", "outgoing", "outbound", "customer service", "support agent", "agente",
     "asistente", "berater", "客服", "助手", "상담원", "оператор")
)  # fmt: skip
