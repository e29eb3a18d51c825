"""What a learner turns and drags. Each widget has a static picture for pages where nothing is live."""

from __future__ import annotations

from cryoedu.widgets.boards import Boards, ccf_pdf_boards

__all__ = ["Boards", "ccf_pdf_boards"]
