"""The review app: what people on the shop floor see, served by Streamlit."""
