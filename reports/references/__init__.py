"""What others say: data sheets and published figures, each with its source."""
