package principal
