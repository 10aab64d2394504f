"""The script that Streamlit runs at every visit and click: who is there, the frame, and the page that was asked for."""

from dashboard.pages import draw

draw()
